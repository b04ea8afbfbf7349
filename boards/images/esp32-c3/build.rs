//! Tells the linker where memory lies: that is the HAL's to say, and how much of it there is the board's.

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo:rustc-link-search={folder}");
    println!("cargo:rerun-if-changed=limits.x");
    for script in ["linkall.x", "limits.x", "defmt.x"] {
        println!("cargo:rustc-link-arg-bins=-T{script}");
    }
}
