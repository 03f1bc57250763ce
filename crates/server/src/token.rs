//! The control plane's token: made at the first start, kept in the data folder, read by clients.
//!
//! Whoever may read the file may operate the node; nobody but its owner can (0600).

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, ensure};
use durabo_model::random::Random;

const TOKEN_BYTES: usize = 32;
const TOKEN_FILE: &str = "token";

/// The token of the node with this data folder, as a client on the same machine reads it.
pub fn read_token(data: &Path) -> anyhow::Result<String> {
    let path = data.join(TOKEN_FILE);
    let text =
        fs::read_to_string(&path).with_context(|| format!("reading the token `{}`", path.display()))?;
    let token = text.trim();
    ensure!(
        !token.is_empty(),
        "the token `{}` is empty; remove the file and start the node again",
        path.display()
    );
    Ok(token.to_owned())
}

/// The token, made if there is none. The file appears whole or not at all.
pub(crate) fn read_or_make_token(path: &Path, random: &dyn Random) -> anyhow::Result<String> {
    let data = path.parent().context("BUG: the token lies in a folder")?;
    if path.exists() {
        return read_token(data);
    }
    let mut bytes = [0; TOKEN_BYTES];
    random.fill(&mut bytes);
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let new = path.with_extension("new");
    let writing = || format!("writing the token `{}`", path.display());
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new).with_context(writing)?;
    file.write_all(format!("{token}\n").as_bytes()).with_context(writing)?;
    file.sync_all().with_context(writing)?;
    fs::rename(&new, path).with_context(writing)?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::SystemRandom;

    #[test]
    fn a_token_is_made_once_and_read_by_clients() {
        let data = tempfile::tempdir().expect("a folder");
        let path = data.path().join(TOKEN_FILE);
        let made = read_or_make_token(&path, &SystemRandom).expect("made");
        assert_eq!(made.len(), 2 * TOKEN_BYTES);
        assert_eq!(read_or_make_token(&path, &SystemRandom).expect("kept"), made);
        assert_eq!(read_token(data.path()).expect("read"), made);
    }

    #[test]
    fn an_empty_token_is_refused_with_the_way_out() {
        let data = tempfile::tempdir().expect("a folder");
        fs::write(data.path().join(TOKEN_FILE), "\n").expect("written");
        let error = read_token(data.path()).expect_err("empty");
        assert!(error.to_string().contains("remove the file"), "{error}");
    }
}
