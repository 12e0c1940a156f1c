//! `token`: join tokens, which machines show for their config.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Error;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use machineconfig::join::{JoinToken, Stored, TOKENS, Uses};
use machineconfig::{Code, Finding};
use serde_json::{Value, json};

use crate::age::{age, second};
use crate::cli::Exit;
use crate::cluster::{self, Access, Connection, pool_name};
use crate::escape;
use crate::form::{self, Output};
use crate::terminal::Terminal;

/// Whose fields these are.
const MANAGER: &str = "mcctl";
/// How often a change is tried again that somebody else was quicker with: servers write down which tokens were used.
const ATTEMPTS: usize = 5;
/// What the API server answers then.
const CONFLICT: u16 = 409;
/// The longest life of a token: more is a password that nobody changes.
const LONGEST: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Make, list and revoke join tokens: what a new machine shows for its config
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    mcctl token create pool/worker --once\n  \
    mcctl pointer pool/worker --token $(mcctl token create pool/worker --ttl 2h) > worker.ign\n  \
    mcctl token list\n  mcctl token revoke 0badcafe")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

/// Make a token and print it: it is told this once
#[derive(Debug, clap::Args)]
struct Create {
    /// The pool whose config it is good for, as pool/NAME
    #[arg(value_name = "pool/NAME", value_parser = pool_name)]
    pool: String,
    /// For how long it is good, such as 30m or 24h
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = lifetime)]
    ttl: SignedDuration,
    /// For one machine alone
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    common: Common,
}

/// List the tokens there are: all but their secrets
#[derive(Debug, clap::Args)]
struct List {
    /// How to print it
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
    #[command(flatten)]
    common: Common,
}

/// Make a token good for nothing any more
#[derive(Debug, clap::Args)]
struct Revoke {
    /// The part of the token before its dot, which `mcctl token list` shows
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    common: Common,
}

/// What all take.
#[derive(Debug, clap::Args)]
struct Common {
    /// Namespace of the system
    #[arg(long, value_name = "NAME", default_value = "machine-config")]
    namespace: String,
    #[command(flatten)]
    connection: Connection,
}

// === impl Args ===

impl Args {
    pub(crate) fn run(self, terminal: &Terminal) -> anyhow::Result<Exit> {
        match self.action {
            Action::Create(create) => create.run(terminal),
            Action::List(list) => list.run(terminal),
            Action::Revoke(revoke) => revoke.run(terminal),
        }
    }
}

impl Create {
    fn run(self, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self {
            pool,
            ttl,
            once,
            common,
        } = self;
        cluster::run(&common.connection, terminal, async |access: &Access| {
            let token = random()?;
            let uses = if once { Uses::Once } else { Uses::UntilExpiry };
            let now = Timestamp::now();
            let stored = serde_json::to_vec(&token.stored(&pool, now + ttl, uses))?;
            change(access, &common.namespace, |data| {
                // Whoever looks at the list is not to wade through what is over.
                data.retain(|_, bytes| read(bytes).is_none_or(|stored| stored.expires > now));
                data.insert(token.id().to_owned(), ByteString(stored.clone()));
                Ok(())
            })
            .await?;
            terminal.print(&format!("{}\n", token.revealed()))?;
            Ok(Exit::Done)
        })
    }
}

impl List {
    fn run(self, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { output, common } = self;
        cluster::run(&common.connection, terminal, async |access: &Access| {
            let secret = access.get_in::<Secret>(&common.namespace, TOKENS).await?;
            let data = secret.and_then(|secret| secret.data).unwrap_or_default();
            let tokens: BTreeMap<&str, Stored> = data
                .iter()
                .filter_map(|(id, bytes)| Some((id.as_str(), read(bytes)?)))
                .collect();
            terminal.print(&match output {
                Output::Text => table(&tokens, Timestamp::now()),
                Output::Json => form::json(&tokens.iter().map(listed).collect::<Vec<_>>()),
            })?;
            Ok(Exit::Done)
        })
    }
}

impl Revoke {
    fn run(self, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { id, common } = self;
        cluster::run(&common.connection, terminal, async |access: &Access| {
            change(access, &common.namespace, |data| match data.remove(&id) {
                Some(_) => Ok(()),
                None => Err(unknown(&id)),
            })
            .await?;
            terminal.print(&format!("token {} is revoked\n", escape::line(&id)))?;
            Ok(Exit::Done)
        })
    }
}

// === what is stored ===

type Data = BTreeMap<String, ByteString>;

fn read(bytes: &ByteString) -> Option<Stored> {
    serde_json::from_slice(&bytes.0).ok()
}

/// Changes what is stored, as one step whoever else changes it.
async fn change(
    access: &Access,
    namespace: &str,
    work: impl Fn(&mut Data) -> Result<(), Finding>,
) -> Result<(), Finding> {
    let api = access.within::<Secret>(namespace);
    let refusal = |error: &Error| access.refusal(error, "Secret", TOKENS);
    for attempt in 1.. {
        let secret = access.get_in::<Secret>(namespace, TOKENS).await?;
        let before = secret
            .as_ref()
            .and_then(|secret| secret.data.clone())
            .unwrap_or_default();
        let mut data = before.clone();
        work(&mut data)?;
        let written = match &secret {
            Some(secret) => patch(access, &api, secret, &before, &data).await,
            None => create(access, &api, data).await,
        };
        match written {
            Err(Error::Api(status)) if status.code == CONFLICT && attempt < ATTEMPTS => {}
            written => return written.map_err(|error| refusal(&error)),
        }
    }
    Ok(())
}

async fn patch(
    access: &Access,
    api: &Api<Secret>,
    secret: &Secret,
    before: &Data,
    data: &Data,
) -> Result<(), Error> {
    let removed = before.keys().filter(|id| !data.contains_key(*id));
    let mut fields: BTreeMap<&String, Value> = removed.map(|id| (id, Value::Null)).collect();
    fields.extend(data.iter().map(|(id, bytes)| (id, json!(bytes))));
    let patch = json!({"metadata": {"resourceVersion": secret.metadata.resource_version}, "data": fields});
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    access
        .in_time(api.patch(TOKENS, &parameters, &Patch::Merge(patch)))
        .await
        .map(drop)
}

async fn create(access: &Access, api: &Api<Secret>, data: Data) -> Result<(), Error> {
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(TOKENS.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..Secret::default()
    };
    let parameters = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    access.in_time(api.create(&parameters, &secret)).await.map(drop)
}

/// A token that nobody has.
pub(crate) fn random() -> anyhow::Result<JoinToken> {
    let mut bytes = [0; 20];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("the kernel gives no random bytes"))?;
    let [a, b, c, d, secret @ ..] = bytes;
    Ok(JoinToken::new([a, b, c, d], secret))
}

fn lifetime(text: &str) -> Result<SignedDuration, String> {
    match text.parse::<SignedDuration>() {
        Ok(time) if time > SignedDuration::ZERO && time <= LONGEST => Ok(time),
        Ok(_) => Err("expected more than nothing, and at most 90 days".to_owned()),
        Err(_) => Err("expected a time such as 30m or 24h".to_owned()),
    }
}

fn unknown(id: &str) -> Finding {
    Finding::error(
        Code::NO_SUCH_OBJECT,
        format!("join token {id}"),
        "",
        "is not in the cluster; mcctl token list shows those there are",
    )
}

// === printing ===

fn table(tokens: &BTreeMap<&str, Stored>, now: Timestamp) -> String {
    if tokens.is_empty() {
        return "there are no join tokens\n".to_owned();
    }
    let rows = tokens.iter().map(|(id, stored)| {
        [
            (*id).to_owned(),
            stored.pool.clone(),
            ends(stored, now),
            use_of(stored),
        ]
    });
    let heading = ["ID", "POOL", "EXPIRES", "USE"].map(str::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(heading).chain(rows).collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2)];
    rows.iter()
        .fold(String::new(), |mut out, [id, pool, ends, used]| {
            let [a, b, c] = widths;
            let line = format!("{id:a$}  {pool:b$}  {ends:c$}  {used}");
            // Writing to a string does not fail.
            let _ = writeln!(out, "{}", escape::line(line.trim_end()));
            out
        })
}

fn ends(stored: &Stored, now: Timestamp) -> String {
    if stored.expires <= now {
        format!("{} ago", age(stored.expires, now))
    } else {
        format!("in {}", age(now, stored.expires))
    }
}

fn use_of(stored: &Stored) -> String {
    match (stored.uses, &stored.used) {
        (Uses::UntilExpiry, _) => "any number of machines".to_owned(),
        (Uses::Once, None) => "one machine".to_owned(),
        (Uses::Once, Some(used)) => format!("used by {} at {}", used.by, second(used.at)),
    }
}

fn listed((id, stored): (&&str, &Stored)) -> Value {
    json!({
        "id": id, "pool": stored.pool, "expires": stored.expires, "uses": stored.uses, "used": stored.used,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_all_but_secrets() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let token = JoinToken::new([1; 4], [2; 16]);
        let hour = SignedDuration::from_hours(1);
        let mut used = token.stored("worker", now - hour, Uses::Once);
        used.used = Some(machineconfig::join::Use {
            at: now - hour - hour,
            by: "192.0.2.1".parse().unwrap(),
        });
        let tokens = BTreeMap::from([
            ("0badcafe", token.stored("gpu", now + hour, Uses::UntilExpiry)),
            ("1badcafe", used),
            ("2badcafe", token.stored("worker", now + hour, Uses::Once)),
        ]);
        let text = table(&tokens, now);
        let expected = "\
            ID        POOL    EXPIRES  USE\n\
            0badcafe  gpu     in 1h    any number of machines\n\
            1badcafe  worker  1h ago   used by 192.0.2.1 at 2026-01-01T10:00:00Z\n\
            2badcafe  worker  in 1h    one machine\n";
        assert_eq!(text, expected);
        let json = form::json(&tokens.iter().map(listed).collect::<Vec<_>>());
        for stored in tokens.values() {
            assert!(!text.contains(&stored.hash) && !json.contains(&stored.hash));
        }
        assert_eq!(table(&BTreeMap::new(), now), "there are no join tokens\n");
    }

    #[test]
    fn tokens_are_random_and_lives_bounded() {
        assert_ne!(random().unwrap().revealed(), random().unwrap().revealed());
        assert_eq!(lifetime("90m"), Ok(SignedDuration::from_mins(90)));
        for text in ["", "0s", "-1h", "1", "2161h", "forever"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }
}
