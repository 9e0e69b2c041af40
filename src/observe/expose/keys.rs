//! The table in force, and how it came there.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::metrics::MetricType;

use super::Out;
use crate::observe::label::{EXPIRING_WITHIN_DAYS, OLDER_THAN_DAYS};
use crate::observe::metrics::Shared;

pub(super) fn write(shared: &Shared, out: &mut Out<'_>) -> fmt::Result {
    keys(shared, out)?;
    reloads(shared, out)?;
    certificates(shared, out)
}

fn keys(shared: &Shared, out: &mut Out<'_>) -> fmt::Result {
    let table = shared.process.table();
    let keys = &table.keys;
    let states = [
        ("active", keys.active),
        ("expired", keys.expired),
        ("revoked", keys.revoked),
        ("disabled", keys.disabled),
    ];
    out.gauges(
        "keygate_keys",
        "Keys in the table that is in force, by state",
        "state",
        states.map(|(state, count)| (state.to_owned(), count)),
    )?;
    out.gauge("keygate_keys_due", "Active keys that are older than keys.rotate_after", keys.due)?;
    let within = EXPIRING_WITHIN_DAYS.iter().map(|days| format!("{days}d")).zip(keys.expiring);
    out.gauges("keygate_keys_expiring", "Active keys that expire within a time", "within", within)?;
    let older = OLDER_THAN_DAYS.iter().map(i64::to_string).zip(keys.older);
    out.gauges(
        "keygate_keys_older_than",
        "Active keys that were made longer ago than so many days, or nobody knows when",
        "days",
        older,
    )?;
    out.gauge("keygate_accounts", "Accounts in the table that is in force", table.accounts)?;
    out.gauge(
        "keygate_table_generation",
        "Counts the tables that came into force",
        table.generation,
    )?;
    out.info(
        "keygate_table",
        "Which key files are in force: the same digest where they are the same",
        ("digest", &table.digest),
    )
}

fn reloads(shared: &Shared, out: &mut Out<'_>) -> fmt::Result {
    let process = &shared.process;
    let reloads = process.reloads();
    let results = [("success", reloads.successes), ("failure", reloads.failures)];
    out.counters(
        "keygate_reloads",
        "How often the files were read, by result",
        results.map(|(result, count)| ([("result", result.to_owned())], count)),
    )?;
    out.histogram(
        "keygate_reload_duration_seconds",
        "How long reading the files and making a table of them took",
        &reloads.durations(),
    )?;
    out.gauge(
        "keygate_last_reload_successful",
        "Whether the files, when they were last read, loaded",
        u64::from(reloads.last_successful),
    )?;
    drop(reloads);
    out.gauge(
        "keygate_last_reload_success_timestamp_seconds",
        "When the files were last read and loaded, in Unix time; at first when the process began",
        process.last_success.load(Relaxed),
    )?;
    out.gauge(
        "keygate_files_checked_timestamp_seconds",
        "When the files were last looked at for changes, in Unix time",
        process.files_checked.load(Relaxed),
    )
}

fn certificates(shared: &Shared, out: &mut Out<'_>) -> fmt::Result {
    let expiries = shared.process.expiries();
    let Some(default) = expiries.default else { return Ok(()) };
    let mut family = out.0.encode_descriptor(
        "keygate_certificate_expiry_timestamp_seconds",
        "When the certificate that is served ends, in Unix time; by name where one has its own",
        None,
        MetricType::Gauge,
    )?;
    family.encode_gauge(&default)?;
    for (name, at) in &expiries.named {
        family.encode_family(&[("name", &**name)])?.encode_gauge(at)?;
    }
    Ok(())
}
