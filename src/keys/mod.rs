//! What a key is: mint it, show it once, store a digest, look it up.
//!
//! Must not know hyper, tokio or the network. Files are read and written in `file` and `edit` only.

mod digest;
pub mod file;
mod record;
mod table;
mod token;

pub use digest::{DigestError, Digester, KeyDigest};
pub use file::KeyFile;
pub use record::{
    Access, Account, AccountId, AttributeRules, EventRules, KeyId, KeyRecord, KeyStatus, Kind,
    Name, NameError, Origin, Permission, SimpleAuth,
};
pub use table::{KeyIndex, KeyTable, KeyTableBuilder, TableError};
pub use token::{ApiKey, KeyPrefix, MintedKey, hint};
