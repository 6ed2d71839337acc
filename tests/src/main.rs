//! The binary `rapport` under another name, so that stories start the code as it is now.

fn main() {}
