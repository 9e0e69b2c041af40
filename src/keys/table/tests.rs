use proptest::prelude::*;

use super::*;
use crate::keys::digest::KeyDigest;
use crate::keys::file::KeyFile;
use crate::keys::record::Access;
use crate::keys::record::KeyRecord;
use crate::keys::record::Name;
use crate::keys::sheet::Sheet;

/// A key as its number, its digest's, and its account's: of each there are few.
type Small = (u8, u8, u8);

/// What one file holds: accounts, and keys.
#[derive(Clone, Debug)]
struct Contents(Vec<u8>, Vec<Small>);

const FILES: usize = 4;

/// An id; some are too long for a row.
fn id(number: u8) -> KeyId {
    let long = if number.is_multiple_of(3) { "_of_a_key_that_is_too_long_for_a_row" } else { "" };
    Name::new(&format!("k{number}{long}")).unwrap()
}

fn name(account: u8) -> Name {
    Name::new(&format!("account-{account}")).unwrap()
}

const fn digest(number: u8) -> KeyDigest {
    let mut bytes = [0; 32];
    bytes[31] = number;
    KeyDigest::from_bytes(bytes)
}

fn key((number, hash, account): Small) -> KeyRecord {
    let origin = Origin { file: 0, span: usize::from(number)..usize::from(number) + 1 };
    let plain = KeyRecord::plain(id(number).as_str(), name(account).as_str(), digest(hash));
    KeyRecord { access: Some(Access::Read), origin, ..plain }
}

fn account(number: u8) -> Account {
    let origin = Origin { file: 0, span: usize::from(number)..usize::from(number) + 1 };
    Account { id: name(number), name: None, permissions: None, disabled: false, origin }
}

fn file(Contents(accounts, keys): &Contents) -> KeyFile {
    let accounts = accounts.iter().copied().map(account).collect();
    KeyFile { accounts, keys: keys.iter().copied().map(key).collect(), ..KeyFile::default() }
}

fn builder(sheets: &[Arc<Sheet>]) -> KeyTableBuilder {
    let mut builder = KeyTableBuilder::default();
    sheets.iter().for_each(|sheet| builder.add_sheet(Arc::clone(sheet)));
    builder
}

/// Everything that one can learn of a table by asking.
fn told(table: &KeyTable) -> Vec<String> {
    let tell = |found: Option<(KeyIndex, Key<'_>)>| {
        let Some((at, key)) = found else { return String::new() };
        let position = table.account_position(at).unwrap();
        let owner = table.accounts().nth(position).unwrap();
        assert_eq!((&owner.id, &table.account(at).unwrap().id), (key.account(), key.account()));
        assert_eq!(table.record(at).unwrap().id_text(), key.id().as_str());
        format!("{} {} {:?} {position}", key.id(), key.account(), key.origin())
    };
    let by_digest = (0..=255).map(|number| tell(table.find(&digest(number))));
    let by_id = (0..=255).map(|number| tell(table.find_id(&id(number))));
    let all = table.keys().map(|(at, key)| tell(Some((at, key))));
    let decoys = (0..=255).map(|n| table.decoy(&digest(n)).is_some().to_string());
    let accounts = (0..table.accounts_len()).map(|at| format!("{:?}", table.account_origin(at)));
    by_digest.chain(by_id).chain(all).chain(decoys).chain(accounts).collect()
}

fn contents() -> impl Strategy<Value = Contents> {
    let keys = proptest::collection::vec((any::<u8>(), any::<u8>(), 0u8..6), 0..12);
    (proptest::collection::vec(0u8..12, 0..4), keys)
        .prop_map(|(accounts, keys)| Contents(accounts, keys))
}

/// Mostly without anything that stands against it: the first file has the accounts, and ids and
/// digests come from a share of their own.
fn sound(file: usize, Contents(_, keys): &Contents) -> Contents {
    let accounts = if file == 0 { (0..6).collect() } else { Vec::new() };
    let own = |number: u8| number % 64 + 64 * u8::try_from(file).unwrap();
    let mut keys: Vec<_> = keys.iter().map(|(id, hash, of)| (own(*id), own(*hash), *of)).collect();
    let mut seen = (Vec::new(), Vec::new());
    keys.retain(|(id, hash, _)| {
        let new = !seen.0.contains(id) && !seen.1.contains(hash);
        seen.0.push(*id);
        seen.1.push(*hash);
        new
    });
    Contents(accounts, keys)
}

#[derive(Clone, Debug)]
enum Change {
    /// A file has other contents.
    File(usize, Contents, bool),
    /// One that was read by somebody else, whose numbers of owners differ.
    Foreign(usize, Contents),
    /// One key of a file has another digest or account.
    Key(usize, usize, u8, u8),
    /// Two files change places.
    Swap(usize, usize),
    Empty(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = || 0..FILES;
    prop_oneof![
        4 => (at(), contents(), prop::bool::weighted(0.9)).prop_map(|(at, it, sound)| Change::File(at, it, sound)),
        1 => (at(), contents()).prop_map(|(at, it)| Change::Foreign(at, it)),
        4 => (at(), any::<usize>(), any::<u8>(), 0u8..6)
            .prop_map(|(at, key, hash, of)| Change::Key(at, key, hash, of)),
        2 => (at(), at()).prop_map(|(a, b)| Change::Swap(a, b)),
        1 => at().prop_map(Change::Empty),
    ]
}

proptest! {
    #[test]
    fn a_table_made_upon_another_is_the_same_as_one_made_of_nothing(
        changes in proptest::collection::vec(change(), 1..24)
    ) {
        let owners = Owners::default();
        let read = |contents: &Contents| Arc::new(Sheet::owned_by(&owners, &file(contents)));
        let first = Contents(Vec::new(), Vec::new());
        let mut held: Vec<_> = (0..FILES).map(|at| sound(at, &first)).collect();
        let mut sheets: Vec<_> = held.iter().map(read).collect();
        let mut before = builder(&sheets).build().unwrap();
        for change in changes {
            match change {
                Change::File(at, contents, fine) => {
                    held[at] = if fine { sound(at, &contents) } else { contents };
                    sheets[at] = read(&held[at]);
                }
                Change::Foreign(at, contents) => {
                    held[at] = sound(at, &contents);
                    sheets[at] = Arc::new(Sheet::of(&file(&held[at])));
                }
                Change::Key(at, key, hash, of) => {
                    let number = held[at].1.len();
                    if number > 0 {
                        let changed = &mut held[at].1[key % number];
                        (changed.1, changed.2) = (hash, of);
                        sheets[at] = read(&held[at]);
                    }
                }
                Change::Swap(a, b) => {
                    held.swap(a, b);
                    sheets.swap(a, b);
                }
                Change::Empty(at) => {
                    held[at] = sound(at, &first);
                    sheets[at] = read(&held[at]);
                }
            }
            let anew = builder(&sheets).build();
            match (builder(&sheets).build_upon(&before), anew) {
                (Ok(upon), Ok(anew)) => {
                    prop_assert_eq!(told(&upon), told(&anew));
                    prop_assert_eq!(upon.len(), held.iter().map(|it| it.1.len()).sum::<usize>());
                    before = upon;
                }
                (Err(upon), Err(anew)) => {
                    prop_assert_eq!(format!("{upon:?}"), format!("{anew:?}"));
                }
                (upon, anew) => prop_assert!(false, "{:?} {:?}", upon.err(), anew.err()),
            }
        }
    }
}

#[test]
fn a_table_that_grows_upon_another_has_room_and_one_that_shrinks_gives_it_back() {
    let owners = Owners::default();
    let sheet = |keys: u32| {
        let record = |number: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            let id = Name::new(&format!("k{number}")).unwrap();
            KeyRecord { id, digest: KeyDigest::from_bytes(bytes), ..key((0, 0, 0)) }
        };
        let file = KeyFile {
            accounts: vec![account(0)],
            keys: (0..keys).map(record).collect(),
            ..KeyFile::default()
        };
        Arc::new(Sheet::owned_by(&owners, &file))
    };
    let mut table = builder(&[sheet(10)]).build().unwrap();
    let mut rooms = Vec::new();
    for keys in [10, 1_000, 30_000, 31_000, 10] {
        table = builder(&[sheet(keys)]).build_upon(&table).unwrap();
        assert_eq!(table.len(), keys as usize);
        for (at, key) in table.keys() {
            assert_eq!(table.find(&key.digest()).unwrap().0, at);
            assert_eq!(table.find_id(&key.id()).unwrap().0, at);
        }
        rooms.push(table.index.room());
    }
    assert_eq!(rooms[4], rooms[0], "{rooms:?}");
    assert!(rooms[2] >= 30_000 && rooms[2] < 50_000, "{rooms:?}");
}

#[test]
fn a_key_is_its_accounts_in_whatever_order_its_file_numbers_the_owners() {
    let sheets = [vec![(1, 1, 1), (2, 2, 2)], vec![(4, 4, 3), (5, 5, 2), (7, 7, 1)]];
    let accounts = [vec![1, 2], vec![3]];
    let sheet = |(accounts, keys)| Arc::new(Sheet::of(&file(&Contents(accounts, keys))));
    let table = builder(&accounts.into_iter().zip(sheets).map(sheet).collect::<Vec<_>>()).build();
    let table = table.unwrap();
    let owners = [(1, 1), (2, 2), (4, 3), (5, 2), (7, 1)];
    for (number, owner) in owners {
        let (_, key) = table.find(&digest(number)).unwrap();
        assert_eq!((key.id(), key.account()), (id(number), &name(owner)));
    }
}
