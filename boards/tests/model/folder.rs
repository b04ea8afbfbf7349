//! A hand-made model as a crate, for images that are built around it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The folder of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A folder with the model as a crate in it, shared so that `core` is built once.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
        let model = out.join("model");
        let manifest = format!(
            "[package]\nname = \"offshoot-model\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n\
             [dependencies]\noffshoot-runtime = {{ path = {:?} }}\n\n[workspace]\n",
            root().join("runtime"),
        );
        fs::create_dir_all(model.join("src")).unwrap();
        fs::write(model.join("Cargo.toml"), manifest).unwrap();
        let lib = "#![no_std]\nmod model;\npub use model::Model;\n\
                   pub use offshoot_runtime::bank::NoBank as Bank;\n\
                   pub use offshoot_runtime::guard::Unguarded as Guard;\n";
        fs::write(model.join("src/lib.rs"), lib).unwrap();
        fs::write(model.join("src/model.rs"), include_str!("model.rs")).unwrap();
        out
    })
}
