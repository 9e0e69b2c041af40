//! One `[[account]]`.

use super::field;
use crate::keys::record::Account;
use crate::keys::record::Origin;
use crate::source::Section;

pub(super) fn read(section: &mut Section<'_, '_>, file: usize) -> Option<Account> {
    let id = field::required_name(section, "id");
    let name = field::note(section, "name");
    let permissions = field::permissions(section);
    let disabled = section.bool("disabled").is_some_and(|disabled| disabled.value);
    let id = id?;
    Some(Account {
        id: id.value,
        name,
        permissions,
        disabled,
        origin: Origin { file, span: id.span },
    })
}
