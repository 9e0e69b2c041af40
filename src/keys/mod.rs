//! What a key is: mint it, show it once, store a digest, look it up.
//!
//! Must not know hyper, tokio or the network. Files are read and written in `file`, `edit`, `usage`
//! and `lock` only.

mod block;
mod digest;
mod draft;
pub mod edit;
pub mod file;
pub mod import;
mod key;
mod load;
mod lock;
mod owners;
mod record;
mod salt;
mod sheet;
mod table;
mod token;
mod ulid;
pub mod usage;

pub use digest::{DigestError, Digester, KeyDigest};
pub use edit::Edit;
pub use edit::described;
pub use file::KeyFile;
pub use key::Key;
pub use load::KeyStore;
pub use load::Loaded;
pub use record::{
    Access, Account, AccountId, AttributeRules, EventRules, KeyId, KeyRecord, KeyStatus, Kind,
    Name, NameError, Origin, Permission, SimpleAuth,
};
pub use salt::new_salt;
pub use sheet::Sheet;
pub use table::{KeyIndex, KeyTable, KeyTableBuilder, TableError};
pub use token::{ApiKey, KeyPrefix, MintedKey, hint};
pub use ulid::new_key_id;
