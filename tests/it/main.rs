//! The program as its users meet it: the real binary between a scripted upstream and raw clients.
//!
//! Three actors (`origin`, `sidecar`, `client`) play every scene; nothing here looks inside the
//! product. A scene that waits does so on a condition, with a deadline, never for a time.

#[cfg(test)]
mod access_file;
#[cfg(test)]
mod access_log;
#[cfg(test)]
mod actors;
#[cfg(test)]
mod admin;
#[cfg(test)]
mod answers;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod bytes;
#[cfg(test)]
mod caps;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod check;
#[cfg(test)]
mod dead_disk;
#[cfg(test)]
mod deadlines;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod forwarding;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod guessing;
#[cfg(test)]
mod handover;
#[cfg(test)]
mod health;
#[cfg(test)]
mod http2_attacks;
#[cfg(test)]
mod http2_form;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod leaving;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod manager;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod moving;
#[cfg(test)]
mod parallel;
#[cfg(test)]
mod phrases;
#[cfg(test)]
mod pipes;
#[cfg(test)]
mod proxy_protocol;
#[cfg(test)]
mod quickstart;
#[cfg(test)]
mod rates;
#[cfg(test)]
mod rehearsal;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod startup;
#[cfg(test)]
mod supply;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tls_attacks;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod upstream_http2;
#[cfg(test)]
mod usage;
#[cfg(test)]
mod volumes;
