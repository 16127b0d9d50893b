//! An app for pipes of objects: adds to each where it is seen, and which app it came from. docs/objects.md shows it.

use std::io::{self, BufRead as _, Write as _};

use serde_json::Value;

fn main() -> io::Result<()> {
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let mut object: Value = serde_json::from_str(&line?)?;
        let told = object["__dpipes"].clone(); // null in a pipe of bytes
        if let Some(members) = object.as_object_mut() {
            members.insert("seen".to_owned(), told["dp.node"].clone());
            members.insert("from".to_owned(), told["dp.remote.app"].clone());
        }
        writeln!(output, "{object}")?;
    }
    Ok(())
}
