//! The files of the repository, read once.
//!
//! Build output (`target`), hidden folders (`.git`, `.ci`) and `node_modules` are not part of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::source::Source;

/// A text file that is not Rust.
#[derive(Debug, Clone)]
pub struct Document {
    /// Path relative to the root, with `/`.
    pub path: String,
    /// Its contents.
    pub text: String,
}

/// What the rules look at.
#[derive(Debug)]
pub struct Repository {
    /// Its root folder.
    pub root: PathBuf,
    /// All `.rs` files, by path.
    pub sources: Vec<Source>,
    /// All `.md` files, by path.
    pub documents: Vec<Document>,
    /// All `Cargo.toml` files, by path.
    pub manifests: Vec<Document>,
    /// All `.wit` files, by path.
    pub contract: Vec<Document>,
}

impl Repository {
    /// Reads the repository that this package lies in.
    ///
    /// # Errors
    /// If a file or folder cannot be read, or a file of one of these kinds is not UTF-8.
    pub fn read() -> io::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let mut paths = Vec::new();
        collect(&root, &mut paths)?;
        paths.sort();
        let mut repository =
            Self { root, sources: vec![], documents: vec![], manifests: vec![], contract: vec![] };
        for path in paths {
            repository.add(&path)?;
        }
        Ok(repository)
    }

    /// Text of the document at `path`; empty if there is none.
    pub fn document(&self, path: &str) -> &str {
        self.documents.iter().find(|document| document.path == path).map_or("", |document| &document.text)
    }

    /// The Rust file at `path`.
    pub fn source(&self, path: &str) -> Option<&Source> {
        self.sources.iter().find(|file| file.path == path)
    }

    fn add(&mut self, path: &Path) -> io::Result<()> {
        let is_manifest = path.file_name().is_some_and(|name| name == "Cargo.toml");
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
        if !is_manifest && !matches!(extension, "rs" | "md" | "wit") {
            return Ok(());
        }
        let text = fs::read_to_string(path)?;
        let relative = path.strip_prefix(&self.root).expect("BUG: the walk starts at the root");
        let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
        let path = parts.join("/");
        match extension {
            "rs" => self.sources.push(Source::new(&path, &text)),
            "wit" => self.contract.push(Document { path, text }),
            "md" => self.documents.push(Document { path, text }),
            _ => self.manifests.push(Document { path, text }),
        }
        Ok(())
    }
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || name == "target" || name == "node_modules" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), paths)?;
        } else {
            paths.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_holds_this_file_and_no_build_output() {
        let repository = Repository::read().unwrap();
        assert!(repository.source("tests/tidy/src/repository.rs").is_some());
        assert!(repository.manifests.iter().any(|manifest| manifest.path == "Cargo.toml"));
        assert!(repository.sources.iter().all(|file| !file.path.contains("target/")));
    }
}
