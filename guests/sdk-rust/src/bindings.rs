//! Generated bindings of the contract in `wit/`, restricted to what a node serves today.
//!
//! Everything else of this crate wraps them; guests use them only to write an export by hand, and
//! nothing here is stable. The exports are lifted asynchronously: events interleave where a guest awaits.
#![allow(unsafe_code, missing_docs, unused_qualifications, clippy::all)]

wit_bindgen::generate!({
    inline: "
        package durabo:sdk;
        world guest {
            import durabo:object/types@0.1.0;
            import durabo:object/context@0.1.0;
            import durabo:object/env@0.1.0;
            import durabo:object/event@0.1.0;
            import durabo:object/log@0.1.0;
            import durabo:object/timer@0.1.0;
            import durabo:object/sql@0.1.0;
            import durabo:object/kv@0.1.0;
            import durabo:object/storage@0.1.0;
            import durabo:object/alarm@0.1.0;
            import durabo:object/schedule@0.1.0;
            import durabo:object/http@0.1.0;
            import durabo:object/websocket@0.1.0;
            import durabo:object/stub@0.1.0;
            export durabo:object/lifecycle@0.1.0;
            export durabo:object/http-handler@0.1.0;
            export durabo:object/rpc-handler@0.1.0;
            export durabo:object/alarm-handler@0.1.0;
            export durabo:object/websocket-handler@0.1.0;
            export durabo:object/schedule-handler@0.1.0;
        }
    ",
    path: "../../wit",
    world: "durabo:sdk/guest",
    generate_all,
    pub_export_macro: true,
    export_macro_name: "export_exports",
    default_bindings_module: "durabo::bindings",
});
