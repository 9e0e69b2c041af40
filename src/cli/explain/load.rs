//! Files → the world that would be in force, and the texts that it came from.

use std::cell::OnceCell;

use jiff::Timestamp;

use super::Args;
use super::Stop;
use crate::config;
use crate::config::Texts;
use crate::gate::Snapshot;
use crate::keys::ApiKey;
use crate::keys::KeyId;
use crate::keys::KeyIndex;
use crate::live::World;
use crate::observe::Metrics;
use crate::source::Problem;
use crate::source::Problems;
use crate::source::Source;
use crate::source::nearest;

/// The world, made of files as `run` makes it.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) world: World,
    pub(super) config: config::Config,
    pub(super) source: Source,
    texts: Texts,
    key_files: Vec<OnceCell<Option<Source>>>,
}

/// No id that is given to a key is longer, and many keys are.
const LONGEST_ID: usize = 40;

impl Policy {
    /// Loads it; what is merely unwise is for `check` to say.
    pub(super) fn load(args: &Args, now: Timestamp) -> Result<Self, Problems> {
        let loaded = config::load(&args.config, &args.set, now);
        let mut problems = loaded.problems;
        let keyring = loaded.keys.as_ref().map(|keys| config::load_keys(keys, None));
        let keyring = keyring.map(|mut keyring| {
            problems.extend(std::mem::take(&mut keyring.problems));
            keyring
        });
        match (loaded.config, loaded.source, keyring) {
            (Some(config), Some(source), Some(keyring)) if !problems.fatal() => {
                let Some(keys) = keyring.keys else { return Err(problems) };
                let world = World::new(&config, keys, &keyring.revocations, 1, &Metrics::new());
                let texts = keyring.sources;
                let key_files = (0..texts.len()).map(|_| OnceCell::new()).collect();
                Ok(Self { world, config, source, texts, key_files })
            }
            _ => Err(problems),
        }
    }

    pub(super) const fn snapshot(&self) -> &Snapshot {
        self.world.snapshot()
    }

    /// The text of a key file, which is read when something of it is wanted.
    pub(super) fn key_file(&self, file: usize) -> Option<&Source> {
        self.key_files.get(file)?.get_or_init(|| self.texts.read(file)).as_ref()
    }

    /// How many key files there are.
    pub(super) const fn key_files(&self) -> usize {
        self.texts.len()
    }

    /// The key of an id.
    pub(super) fn key(&self, id: &KeyId) -> Result<KeyIndex, Stop> {
        let table = self.snapshot().table();
        if let Some((index, _)) = table.find_id(id) {
            return Ok(index);
        }
        let secret = ApiKey::new(id.as_str().as_bytes());
        let is_key = table.find(&self.snapshot().digester().digest(&secret)).is_some();
        if is_key || id.as_str().len() > LONGEST_ID {
            let problem = Problem::new("what `--key-id` names is no id of a key");
            let help = "if it is the key itself, put it into the file of `--request`: secrets are \
                        never taken as arguments";
            return Err(Stop::Misused(problem.help(help).into()));
        }
        let near = nearest(id.as_str(), table.keys().map(|(_, record)| record.id_text()));
        let problem = Problem::new(format!("there is no key `{id}`")).help(match near {
            Some(near) => format!("did you mean `{near}`? `keygate keys list` shows all"),
            None => "`keygate keys list` shows all".to_owned(),
        });
        Err(Stop::Refused(problem.into()))
    }
}
