//! Tells the linker to keep relocations, from which the graph of calls is read.

fn main() {
    println!("cargo:rustc-link-arg-bins=--emit-relocs");
}
