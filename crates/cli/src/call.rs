//! `durabo call`: calls a method of an object and prints its result as JSON.
//!
//! Arguments go as they are written, so integers of any size arrive exact.

use clap::Args;
use serde::de::IgnoredAny;

use crate::client::{Client, DataPlaneArgs};
use crate::output::Output;
use crate::refusal::Refusal;
use crate::target::{ObjectTarget, segment};

/// Calls a method of an object
#[derive(Debug, Args)]
pub struct CallArgs {
    /// The object: its name, or `~id:` with its id, or `~new` for a new one
    #[arg(value_name = "APP/CLASS/NAME")]
    object: ObjectTarget,

    /// The method
    method: String,

    /// Its arguments, each in JSON; a text is written '"text"'
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    arguments: Vec<String>,

    #[command(flatten)]
    data_plane: DataPlaneArgs,
}

/// Runs the command.
pub fn run(args: &CallArgs, output: Output) -> anyhow::Result<()> {
    let body = json_array("argument", &args.arguments)?;
    let client = Client::of_data_plane(&args.data_plane)?;
    let (of, name) = (&args.object.of, args.object.segment());
    let path = format!("/rpc/{}/{}/{name}/{}", of.app, of.class, segment(&args.method));
    let answer = client.post(&path, body.as_bytes())?;
    if let Some(id) = &answer.object_id {
        output.remark(&format!("the new object is {}/{}/~id:{id}", of.app, of.class));
    }
    output.text(&answer.body)?;
    Ok(())
}

/// The JSON array of JSON texts, each checked. `what` names one of them in a refusal.
pub fn json_array(what: &str, texts: &[String]) -> Result<String, Refusal> {
    for (index, text) in texts.iter().enumerate() {
        if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
            let number = index + 1;
            return Err(Refusal::new(format!(
                "{what} {number}, `{text}`, is not JSON ({error}); a text needs quotes that the shell leaves: '\"…\"'"
            )));
        }
    }
    Ok(format!("[{}]", texts.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(texts: &[&str]) -> Result<String, String> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        json_array("argument", &texts).map_err(|refusal| refusal.message)
    }

    #[test]
    fn arguments_are_sent_as_they_are_written() {
        assert_eq!(array(&[]), Ok("[]".to_owned()));
        assert_eq!(
            array(&["9007199254740993", "\"é\"", "-1", "{\"a\": [1]}"]).as_deref(),
            Ok("[9007199254740993,\"é\",-1,{\"a\": [1]}]")
        );
    }

    #[test]
    fn what_is_not_json_is_refused_with_a_hint() {
        for text in ["hello", "", "1,2", "1] [2", "'a'"] {
            let message = array(&["1", text]).expect_err(text);
            assert!(message.starts_with(&format!("argument 2, `{text}`, is not JSON")), "{message}");
        }
    }
}
