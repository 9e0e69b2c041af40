//! Records as they may be told of: what a key file says of them, without digests and salts.

use serde_json::Map;
use serde_json::Value;

use super::render;
use crate::keys::digest::Digester;
use crate::keys::record::Account;
use crate::keys::record::KeyRecord;

/// The members of a `[[key]]`. Of a salt it is told that there is one.
#[must_use]
pub fn key(record: &KeyRecord, digester: &Digester) -> Map<String, Value> {
    let mut members = members(&render::key(record, digester), "key");
    members.remove("digest");
    if let Some(salt) = members.get_mut("simple_auth").and_then(|simple| simple.get_mut("salt")) {
        *salt = Value::Bool(true);
    }
    members
}

/// The members of an `[[account]]`.
#[must_use]
pub fn account(account: &Account) -> Map<String, Value> {
    members(&render::account(account), "account")
}

/// What stands in a block, of which there is one.
fn members(block: &str, name: &str) -> Map<String, Value> {
    let Ok(mut tables) = block.parse::<toml::Table>() else { return Map::new() };
    match tables.remove(name).map(json) {
        Some(Value::Array(blocks)) => match blocks.into_iter().next() {
            Some(Value::Object(members)) => members,
            _ => Map::new(),
        },
        _ => Map::new(),
    }
}

fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(value) => value.into(),
        toml::Value::Datetime(at) => at.to_string().into(),
        toml::Value::Array(values) => values.into_iter().map(json).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(name, value)| (name, json(value))).collect())
        }
    }
}
