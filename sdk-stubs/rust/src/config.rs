//! The author's own types, from the broker's JSON.

use serde::de::DeserializeOwned;

/// A stage's configuration as the type that its author wants. The error names the field.
pub fn decode<C: DeserializeOwned>(config: &[u8]) -> Result<C, String> {
    let config = if config.is_empty() { b"{}" } else { config };
    let mut decoder = serde_json::Deserializer::from_slice(config);
    serde_path_to_error::deserialize(&mut decoder).map_err(|error| {
        let path = error.path().to_string();
        let problem = without_place(&error.into_inner().to_string()).to_string();
        let field = if path == "." { String::new() } else { format!("`{path}`: ") };
        format!("the stage's `config` does not fit this program: {field}{problem}")
    })
}

/// Lines and columns are those of JSON that the author has never seen: the broker made it from YAML.
pub fn without_place(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |end| &message[..end])
}
