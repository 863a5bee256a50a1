//! Operations: the queue, the stages and the history.

use super::{
    harness::{Harness, Owner, Ports},
    samples::*,
};
use maestro_core::{
    domain::*,
    ports::{Change, OperationPage, Stage},
};
use std::time::Duration;

const NEWEST: Stage = Stage::Final {
    offset: 0,
    limit: 100,
    ascending: false,
};

fn put(operation: OperationRecord) -> Change {
    Change::PutOperation(Box::new(operation))
}

async fn page(ports: &Ports, stage: Stage) -> OperationPage {
    ports.reads.operations("fleet", stage).await.unwrap()
}

/// The numbers of the listed samples of a stage.
async fn listed(ports: &Ports, stage: Stage) -> Vec<u8> {
    let page = page(ports, stage).await;
    page.operations.iter().map(|o| number(o.id)).collect()
}

fn number(id: OperationId) -> u8 {
    (0..=u8::MAX).find(|n| operation_id(*n) == id).unwrap()
}

pub async fn the_queue_has_priority_ones_first_and_the_latest_of_them_before(
    harness: &dyn Harness,
) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    for (number, priority) in [(1, false), (2, true), (3, false), (4, true)] {
        let mut operation = operation("fleet", number);
        operation.priority = priority;
        owner.put(vec![put(operation)]).await;
    }
    // Two operations of the same moment in one batch are listed in the order in which they were
    // written.
    let same_moment = |number| OperationRecord {
        created_at: at(9),
        ..operation("fleet", number)
    };
    owner
        .put(vec![put(same_moment(9)), put(same_moment(8))])
        .await;
    let queue = [4, 2, 1, 3, 9, 8];
    assert_eq!(listed(&ports, Stage::Pending).await, queue);
    let loaded = owner.load().await;
    let order: Vec<_> = loaded.operations.iter().map(|o| number(o.id)).collect();
    assert_eq!(order, queue);
    // A change of an operation does not move it in the queue.
    let mut changed = same_moment(9);
    changed.resume.cancel_requested = true;
    owner.put(vec![put(changed)]).await;
    assert_eq!(listed(&ports, Stage::Pending).await, queue);
}

pub async fn an_operation_goes_from_stage_to_stage(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    let mut one = operation("fleet", 1);
    owner.put(vec![put(one.clone())]).await;
    assert_eq!(listed(&ports, Stage::Pending).await, [1]);
    assert!(listed(&ports, Stage::Active).await.is_empty());

    one = ended(one, OperationStatus::InProgress, 10);
    one.lease_until = Some(at(15));
    owner.put(vec![put(one.clone())]).await;
    assert!(listed(&ports, Stage::Pending).await.is_empty());
    let active = page(&ports, Stage::Active).await;
    assert_eq!(active.total, 1);
    assert_eq!(*active.operations[0], one);
    assert_eq!(owner.load().await.operations, [one.clone()]);

    one = ended(one, OperationStatus::Error, 20);
    one.lease_until = None;
    owner.put(vec![put(one.clone())]).await;
    assert!(listed(&ports, Stage::Active).await.is_empty());
    assert_eq!(listed(&ports, NEWEST).await, [1]);
    let found = ports.reads.operation("fleet", one.id).await.unwrap();
    assert_eq!(found.as_deref(), Some(&one));
    assert!(owner.load().await.operations.is_empty());
    let elsewhere = ports.reads.operation("fleet-2", one.id).await.unwrap();
    assert_eq!(elsewhere, None);
}

pub async fn the_history_is_cut_by_when_operations_ended(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    // Created 1, 2, 3 …, ended the other way round.
    let changes = (1..=7).map(|number| {
        let seconds = 100 - i64::from(number);
        put(ended(
            operation("fleet", number),
            OperationStatus::Canceled,
            seconds,
        ))
    });
    owner.put(changes.collect()).await;
    let window = |offset, limit, ascending| Stage::Final {
        offset,
        limit,
        ascending,
    };
    assert_eq!(listed(&ports, window(0, 3, false)).await, [1, 2, 3]);
    assert_eq!(listed(&ports, window(3, 3, false)).await, [4, 5, 6]);
    assert_eq!(listed(&ports, window(6, 3, false)).await, [7]);
    assert_eq!(listed(&ports, window(0, 2, true)).await, [7, 6]);
    assert_eq!(listed(&ports, window(2, 2, true)).await, [5, 4]);
    let beyond = page(&ports, window(700, 3, true)).await;
    assert_eq!((beyond.total, beyond.operations.len()), (7, 0));
    let far = page(&ports, window(u64::MAX, 100, false)).await;
    assert_eq!((far.total, far.operations.len()), (7, 0));
    // An operation that is written again with another time of its end is listed once.
    let again = ended(operation("fleet", 7), OperationStatus::Error, 500);
    owner.put(vec![put(again)]).await;
    assert_eq!(listed(&ports, window(0, 2, false)).await, [7, 1]);
    assert_eq!(page(&ports, NEWEST).await.total, 7);
    // Within one second the ids decide the order (contract 2.4), not the fractions of the second.
    let mut six = ended(operation("fleet", 6), OperationStatus::Error, 600);
    let mut five = ended(operation("fleet", 5), OperationStatus::Error, 600);
    six.status_at += Duration::from_millis(900);
    five.status_at += Duration::from_millis(10);
    owner.put(vec![put(six), put(five)]).await;
    assert!(operation_id(5) > operation_id(6));
    assert_eq!(listed(&ports, window(0, 3, false)).await, [5, 6, 7]);
    assert_eq!(listed(&ports, window(0, 1, false)).await, [5]);
    assert_eq!(listed(&ports, window(5, 2, true)).await, [6, 5]);
    assert_eq!(page(&ports, NEWEST).await.total, 7);
    let nobody = ports.reads.operations("nobody", NEWEST).await.unwrap();
    assert_eq!((nobody.total, nobody.operations.len()), (0, 0));
}

pub async fn operations_without_action_stay_out_of_the_history(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    let health = |took_action| Definition::HealthController { took_action };
    let ends = [
        (1, health(None), OperationStatus::Finished, false),
        (2, health(Some(false)), OperationStatus::Finished, false),
        (3, health(Some(true)), OperationStatus::Finished, true),
        (4, health(None), OperationStatus::Error, true),
        (
            5,
            Definition::StorageCleanUp,
            OperationStatus::Finished,
            false,
        ),
        (
            6,
            Definition::StorageCleanUp,
            OperationStatus::Evicted,
            true,
        ),
    ];
    for (number, definition, status, _) in ends.clone() {
        let operation = OperationRecord {
            definition,
            ..operation("fleet", number)
        };
        let seconds = 100 + i64::from(number);
        owner
            .put(vec![put(ended(operation, status, seconds))])
            .await;
    }
    assert_eq!(listed(&ports, NEWEST).await, [6, 4, 3]);
    assert_eq!(page(&ports, NEWEST).await.total, 3);
    for (number, ..) in ends {
        let found = ports.reads.operation("fleet", operation_id(number)).await;
        assert!(found.unwrap().is_some(), "{number} can be asked for");
    }
}

pub async fn a_lease_is_renewed_while_the_operation_runs(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    let running = ended(operation("fleet", 1), OperationStatus::InProgress, 5);
    owner.put(vec![put(running.clone())]).await;
    let renewal = |number| Change::RenewOperationLease {
        operation: operation_id(number),
        until: at(60),
    };
    owner.put(vec![renewal(1), renewal(2)]).await;
    let expected = OperationRecord {
        lease_until: Some(at(60)),
        ..running
    };
    let active = page(&ports, Stage::Active).await;
    assert_eq!(*active.operations[0], expected);
    assert_eq!(
        owner.load().await.operations,
        std::slice::from_ref(&expected)
    );
    let done = OperationRecord {
        lease_until: None,
        ..ended(expected, OperationStatus::Finished, 61)
    };
    owner.put(vec![put(done.clone())]).await;
    owner.put(vec![renewal(1)]).await;
    let found = ports.reads.operation("fleet", done.id).await.unwrap();
    assert_eq!(
        found.as_deref(),
        Some(&done),
        "an ended operation has no lease"
    );
}

pub async fn deleted_operations_are_gone_from_every_stage(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    let done = ended(operation("fleet", 2), OperationStatus::Finished, 50);
    let kept = ended(operation("fleet", 3), OperationStatus::Finished, 51);
    owner
        .put(vec![put(operation("fleet", 1)), put(done), put(kept)])
        .await;
    let ids = [1, 2, 9].map(operation_id).into();
    owner.put(vec![Change::DeleteOperations(ids)]).await;
    assert!(listed(&ports, Stage::Pending).await.is_empty());
    let history = page(&ports, NEWEST).await;
    assert_eq!((history.total, history.operations.len()), (1, 1));
    let gone = ports.reads.operation("fleet", operation_id(2)).await;
    assert_eq!(gone.unwrap(), None);
    assert!(owner.load().await.operations.is_empty());
}

/// The retention depends on this after a restart.
pub async fn ended_operations_are_known_to_the_next_owner(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    let ended = |number: u8, definition: Definition| OperationRecord {
        definition,
        status: OperationStatus::Finished,
        status_at: at(i64::from(number)),
        ..operation("fleet", number)
    };
    owner
        .put(vec![
            put(ended(
                2,
                Definition::AddRooms {
                    amount: 1,
                    version: None,
                },
            )),
            put(ended(1, Definition::StorageCleanUp)),
            put(operation("fleet", 3)),
        ])
        .await;
    let loaded = owner.load().await.ended;
    let known: Vec<_> = loaded.iter().map(|e| (number(e.id), e.no_action)).collect();
    assert_eq!(known, [(1, true), (2, false)]);
}
