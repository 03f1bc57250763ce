//! Dependencies of a `Cargo.toml`, read without a TOML library.
//!
//! Knows the forms that the workspace uses: `name.workspace = true`, `name = …`, a section per
//! dependency, dependencies of a target, and `package = "…"` for a renamed one.

/// One dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Name of the package.
    pub package: String,
    /// Line, from 1.
    pub line: usize,
}

const SECTIONS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// All dependencies of the manifest, those of tests and build scripts too.
pub fn dependencies(manifest: &str) -> Vec<Dependency> {
    let mut found: Vec<Dependency> = Vec::new();
    let mut in_section = false;
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']');
            let (section, single) = split_section(header);
            in_section = section && single.is_none();
            if let Some(single) = single {
                found.push(Dependency { package: single.to_owned(), line: index + 1 });
            }
            continue;
        }
        if in_section && let Some(package) = package_of(line) {
            found.push(Dependency { package, line: index + 1 });
        }
    }
    found
}

/// Whether a section header lists dependencies, and the one it is about if it is about one.
fn split_section(header: &str) -> (bool, Option<&str>) {
    for section in SECTIONS {
        if header == section || (header.starts_with("target.") && header.ends_with(&format!(".{section}"))) {
            return (true, None);
        }
        if let Some(single) = header.strip_prefix(section).and_then(|rest| rest.strip_prefix('.')) {
            return (true, Some(single));
        }
    }
    (false, None)
}

fn package_of(line: &str) -> Option<String> {
    if line.is_empty() || line.starts_with('#') || !line.contains('=') {
        return None;
    }
    if let Some((_, renamed)) = line.split_once("package = \"") {
        return renamed.split('"').next().map(str::to_owned);
    }
    let name = line.split(['.', '=', ' ']).next()?;
    Some(name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_dependency_is_seen() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\na.workspace = true\nb = \"1\"\n# c = \"1\"\n\
            d = { package = \"e\", version = \"1\" }\n[dev-dependencies.f]\nversion = \"1\"\n\
            [target.'cfg(unix)'.dependencies]\ng = \"1\"\n[features]\nh = []\n";
        let names: Vec<_> = dependencies(manifest).into_iter().map(|found| found.package).collect();
        assert_eq!(names, ["a", "b", "e", "f", "g"]);
    }
}
