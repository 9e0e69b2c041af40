//! Why records cannot form a table.

use thiserror::Error;

use crate::keys::record::AccountId;
use crate::keys::record::KeyId;
use crate::keys::record::Origin;

/// Why records cannot form a table.
#[derive(Debug, Error)]
pub enum TableError {
    /// Two records of one id.
    #[error("key `{id}` is defined twice")]
    DuplicateId {
        /// The id.
        id: KeyId,
        /// The record that came first.
        first: Origin,
        /// The record that repeats it.
        second: Origin,
    },
    /// Two records of one digest: the same key would be two.
    #[error("keys `{first_id}` and `{second_id}` have the same digest")]
    DuplicateDigest {
        /// The first one's id.
        first_id: KeyId,
        /// The second one's id.
        second_id: KeyId,
        /// The record that came first.
        first: Origin,
        /// The record that repeats it.
        second: Origin,
    },
    /// Two accounts of one id.
    #[error("account `{id}` is defined twice")]
    DuplicateAccount {
        /// The id.
        id: AccountId,
        /// The account that came first.
        first: Origin,
        /// The one that repeats it.
        second: Origin,
    },
    /// A key of an account that no file defines.
    #[error("key `{id}` belongs to account `{account}`, which does not exist")]
    UnknownAccount {
        /// The key.
        id: KeyId,
        /// The account that is missing.
        account: AccountId,
        /// The nearest name among those that exist.
        nearest: Option<AccountId>,
        /// The record.
        origin: Origin,
    },
    /// More than can be counted.
    #[error("there are more keys than fit into one table")]
    TooMany,
}
