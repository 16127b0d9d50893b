//! What a pipe's start reads of a large cluster: who offers three apps among 1,000 nodes with 100 apps each, from an index that pipes
//! share, beside building that index for each pipe; and the choice among them, which comes to either.
//!
//! `cargo bench --bench placement`, with `DPIPES_BENCH_ROUNDS` for more or fewer than 50 rounds.

mod measure;

use std::{
    collections::{BTreeMap, BTreeSet},
    hint::black_box,
    sync::Arc,
    time::Duration,
};

use dpipes::{
    id::{NodeId, StageNumber},
    plan::{
        Candidates, ClusterView, Here, Index, Listing, Mark, NodeCandidate, Offered, Tier, Wanted,
        resolve,
    },
    schedule::{PolicyName, place},
};
use dpipes_discovery::{Directory, Memory, NodeId as RegistryNode, Registration, Registry as _};
use dpipes_discovery::{ServiceDef, ServiceName};
use measure::{interleave, report, rounds, time};

const NODES: usize = 1_000;
const APPS: usize = 100;

/// Pipes in one round: reading alone is too short for a clock.
const PIPES: u32 = 100;

fn app(number: usize) -> String {
    format!("app-{number:02}")
}

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("a legal name")
}

fn node(number: usize) -> NodeCandidate {
    NodeCandidate {
        node: NodeId::new(format!("node-{number:04}")).expect("a legal name"),
        addresses: vec![format!("10.0.{}.{}:3747", number / 250, number % 250)],
        apps: Offered::Listed((0..APPS).map(app).collect()),
        labels: BTreeMap::new(),
        health: Tier::Passing,
        ejected: false,
        weight: 10,
        load: None,
        source: "memory".to_owned(),
        here: number == 0,
    }
}

/// A directory that holds all of it, as the daemon's does.
async fn directory() -> Directory {
    let memory = Memory::new();
    for number in 0..NODES {
        let name = format!("node-{number:04}");
        let what = Registration {
            node: RegistryNode::new(name).expect("a legal name"),
            host: "10.0.0.1".to_owned(),
            port: 3_747,
            primary: ServiceDef::new(service("dpipesd")),
            services: (0..APPS)
                .map(|number| ServiceDef::new(service(&format!("dp.{}", app(number)))))
                .collect(),
            ttl: Duration::from_secs(3_600),
        };
        // Dropping a lease would end its renewal; the registry is there until the process ends.
        std::mem::forget(memory.register(what).await.expect("it takes everything"));
    }
    Directory::new(vec![Arc::new(memory)])
}

fn find(view: &ClusterView, wanted: &[Wanted]) -> Vec<Candidates> {
    resolve(wanted, view, &BTreeSet::new()).expect("every node has every app")
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    let nodes: Vec<_> = (0..NODES).map(node).collect();
    let wanted: Vec<_> = [3, 50, 97]
        .into_iter()
        .enumerate()
        .map(|(index, number)| Wanted {
            stage: StageNumber::from_index(index),
            app: app(number),
            constraints: Vec::new(),
        })
        .collect();
    let index = Arc::new(Index::new(nodes.clone()));
    let directory = runtime.block_on(directory());
    let services: Vec<_> = wanted
        .iter()
        .map(|wanted| service(&format!("dp.{}", wanted.app)))
        .collect();
    let listings: BTreeMap<String, Arc<Listing>> = wanted
        .iter()
        .zip(&services)
        .map(|(wanted, service)| {
            let snapshot = runtime.block_on(directory.snapshot(service));
            let mark = Mark {
                health: Tier::Passing,
                weight: 10,
            };
            let names = snapshot.candidates.iter();
            let names = names.map(|candidate| (candidate.instance.node.as_str(), mark));
            let listing = Arc::new(index.listing_with(&wanted.app, names));
            assert_eq!(listing.nodes().len(), NODES);
            (wanted.app.clone(), listing)
        })
        .collect();
    let read = || {
        // What the daemon does for each pipe: look at each snapshot, take what was built of it.
        let listings = wanted.iter().zip(&services).map(|(wanted, service)| {
            let snapshot = directory.subscribe(service).borrow().clone();
            assert_eq!(snapshot.candidates.len(), NODES);
            (wanted.app.clone(), Arc::clone(&listings[&wanted.app]))
        });
        let here = Here {
            at: 0,
            load: (0, 4_096),
        };
        ClusterView::of(Arc::clone(&index), listings.collect(), Some(here))
    };
    let per_pipe = |pipes: u32, work: &dyn Fn()| {
        let all = time(|| (0..pipes).for_each(|_| work()));
        all.as_secs_f64() * 1e6 / f64::from(pipes)
    };
    let view = read();
    let found = find(&view, &wanted);
    let series = interleave(
        rounds(50),
        &mut [
            (
                "an index for each pipe",
                Box::new(|| {
                    let nodes = nodes.clone();
                    per_pipe(1, &|| {
                        let view = ClusterView::new(nodes.clone());
                        black_box(find(&view, &wanted));
                    })
                }),
            ),
            (
                "one index for all pipes",
                Box::new(|| {
                    per_pipe(PIPES, &|| {
                        black_box(find(&read(), &wanted));
                    })
                }),
            ),
            (
                "the choice among those found",
                Box::new(|| {
                    per_pipe(PIPES, &|| {
                        black_box(place(&found, &view, PolicyName::Spread, &[], 7).expect("room"));
                    })
                }),
            ),
        ],
    );
    report(
        "3 apps among 1,000 nodes with 100 apps each, per pipe",
        "us",
        &series,
    );
}
