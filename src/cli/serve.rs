//! `fbf serve`: configuration, broker, webhooks, listeners, banner; then wait for a signal, drain and close.

use super::runtimes::Runtimes;
use super::signals::Ending;
use super::{EXIT_FAILED, EXIT_USAGE, banner, descriptors, fail, memory};
use crate::broker::Broker;
use crate::config::{self, Config, Sources};
use crate::env::Env;
use crate::hooks::Hooks;
use crate::http::Server as HttpServer;
use crate::server::Server;
use crate::store::StoreError;
use crate::tasks;
use crate::telemetry;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::{info, warn};

/// As shells report a process that an interrupt ended.
const EXIT_INTERRUPTED: i32 = 130;

pub(super) fn run(sources: &Sources) -> ExitCode {
    let (mut config, warnings) = match config::load(sources) {
        Ok(loaded) => loaded,
        Err(error) => return fail(EXIT_USAGE, &error.to_string()),
    };
    if let Err(error) = telemetry::init(&config.log.level, config.log.format) {
        return fail(EXIT_USAGE, &error);
    }
    if let Err(error) = memory::check().and_then(|()| descriptors::fit(&mut config)) {
        return fail(EXIT_FAILED, &error);
    }
    for warning in warnings {
        warn!("{warning}");
    }
    let served = Runtimes::start(&config).and_then(|runtimes| {
        let served = runtimes.kafka.block_on(serve(config, runtimes.http.handle()));
        runtimes.stop();
        served
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(EXIT_FAILED, &format!("{error:#}")),
    }
}

async fn serve(config: Config, over_http: &Handle) -> anyhow::Result<()> {
    let ending = Ending::of_this_process();
    let (first, second, opening) = (ending.listen()?, ending.listen()?, ending.listen()?);
    let broker = tokio::select! {
        broker = Broker::open(Arc::new(config), Env::system()) => broker?,
        // The store recovers from that as from a crash. Whoever is process 1 of a container has to end by himself: the kernel does not do it.
        () = opening.wait(1) => tasks::end(0),
    };
    let hooks = match tasks::on(over_http, "open webhooks", Hooks::open(broker.clone())).await {
        Ok(hooks) => hooks,
        Err(error) => {
            broker.close().await?;
            return Err(error);
        }
    };
    let (server, http) = match bind(&broker, &hooks, over_http).await {
        Ok(bound) => bound,
        Err(error) => {
            close(&broker, &hooks).await?;
            return Err(error);
        }
    };
    let http_addresses = [http.address(), http.registry_address()];
    say(&banner::text(&broker.config, &server.addresses(), http_addresses));
    let serving = async {
        let (stop, stopping) = watch::channel(());
        let stopped = |mut stopping: watch::Receiver<()>| async move {
            // An error: the sender is gone, which says the same.
            let _ = stopping.changed().await;
        };
        let until_signal = async {
            first.wait(1).await;
            info!("stopping: no new connections, what was answered is kept");
            drop(stop);
        };
        let http = tasks::on(over_http, "HTTP", http.run(stopped(stopping.clone())));
        tokio::join!(until_signal, server.run(stopped(stopping.clone())), http);
        close(&broker, &hooks).await
    };
    tokio::select! {
        closed = serving => Ok(closed?),
        () = second.wait(2) => tasks::end(EXIT_INTERRUPTED),
    }
}

/// What takes no requests any more.
async fn close(broker: &Broker, hooks: &Hooks) -> Result<(), StoreError> {
    // Nobody waits for room on a full disk any more.
    broker.logs.stopping();
    // They read, commit and write as clients do.
    hooks.close().await;
    broker.close().await
}

/// All listeners: Kafka's and those of HTTP.
async fn bind(broker: &Arc<Broker>, hooks: &Arc<Hooks>, over_http: &Handle) -> anyhow::Result<(Server, HttpServer)> {
    let server = Server::bind(broker.clone())?;
    let (broker, hooks) = (broker.clone(), hooks.clone());
    Ok((server, tasks::on(over_http, "bind HTTP", async move { HttpServer::bind(broker, hooks) }).await?))
}

/// A reader that went away is no reason not to serve.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
