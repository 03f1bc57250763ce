//! Which certificates are trusted, and the encryption that rests on them.
//!
//! A system's list is hundreds of files, and reading it takes as long as all else of a node's start; so it is
//! read at the first request that needs it, once.

use std::sync::Arc;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::task_end::failure_of_task;

/// Reads a list of trusted certificates; may block.
pub type ReadRoots = Arc<dyn Fn() -> RootCertStore + Send + Sync>;

/// What is trusted.
pub struct Trust {
    read: ReadRoots,
    /// `None` in it if nothing is trusted.
    connector: OnceCell<Option<TlsConnector>>,
}

impl Trust {
    /// Trusts what `read` says when it is needed.
    pub fn new(read: ReadRoots) -> Self {
        Self { read, connector: OnceCell::new() }
    }

    /// Makes encrypted connections; fails if nothing is trusted.
    pub async fn connector(&self) -> Result<&TlsConnector, Failure> {
        let read = || async {
            let read = self.read.clone();
            let roots = spawn_blocking(move || read()).await.map_err(failure_of_task)?;
            Ok((!roots.is_empty()).then(|| trusting(roots)))
        };
        self.connector.get_or_try_init(read).await?.as_ref().ok_or_else(|| {
            let text = "this system has no list of trusted certificates, so nothing encrypted can be asked; see \
                        the node's log";
            Failure::new(ErrorCode::OutgoingFailed, text)
        })
    }
}

/// The certificates that the system trusts.
pub fn of_system() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a list of trusted certificates cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!("no trusted certificates were found; requests of objects by `https` will fail");
    }
    roots
}

fn trusting(roots: RootCertStore) -> TlsConnector {
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}
