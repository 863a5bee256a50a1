//! The messages, field by field, as in the contract's recorded answers.

use super::*;
use crate::domain::{
    Autoscaling, Container, ContainerPort, Environment, FixedBuffer, Forwarder, ForwarderOptions,
    MatchAllocation, Policy, PolicyParameters, Resources, RoomOccupancy, Spec, Surge,
};

fn resources() -> Resources {
    Resources {
        memory: "64Mi".into(),
        cpu: "100m".into(),
    }
}

fn container(name: &str) -> Container {
    Container {
        name: name.into(),
        image: "registry/game:1".into(),
        image_pull_policy: "Always".into(),
        requests: resources(),
        limits: resources(),
        ports: vec![port()],
        ..Default::default()
    }
}

fn port() -> ContainerPort {
    ContainerPort {
        name: "clientPort".into(),
        protocol: "udp".into(),
        port: 7777,
        ..Default::default()
    }
}

fn forwarder() -> Forwarder {
    Forwarder {
        name: "matchmaker".into(),
        enabled: true,
        forward_type: "gRPC".into(),
        address: "127.0.0.1:1".into(),
        options: Some(ForwarderOptions {
            timeout: 1000,
            ..Default::default()
        }),
    }
}

fn autoscaling() -> Autoscaling {
    Autoscaling {
        enabled: true,
        min: 1,
        max: 10,
        cooldown: 60,
        policy: Policy {
            kind: "roomOccupancy".into(),
            parameters: PolicyParameters {
                room_occupancy: Some(RoomOccupancy {
                    ready_target: 0.5,
                    down_threshold: 0.75,
                }),
                fixed_buffer: None,
            },
        },
    }
}

fn valid() -> Scheduler {
    Scheduler {
        name: "arena".into(),
        game: "chess".into(),
        max_surge: "10%".into(),
        port_range: range(40000, 41000),
        spec: Spec {
            version: "v1.0.0".into(),
            termination_grace_period: 100,
            containers: vec![container("game")],
            ..Default::default()
        },
        autoscaling: Some(autoscaling()),
        forwarders: Some(vec![forwarder()]),
        match_allocation: Some(MatchAllocation { max_matches: 1 }),
        ..Default::default()
    }
}

/// A body of one mebibyte can contain a third of a million containers with eight violations each.
#[test]
fn the_list_of_violations_ends_somewhere() {
    let mut scheduler = valid();
    scheduler.spec.containers = vec![container(""); 100_000];
    let Err(Invalid::Fields(violations)) = validate_new(&scheduler) else {
        panic!("it is not in order");
    };
    assert!(
        (1_000..1_100).contains(&violations.len()),
        "{}",
        violations.len()
    );
}

fn range(start: i32, end: i32) -> Option<PortRange> {
    Some(PortRange { start, end })
}

type Change = fn(&mut Scheduler);

fn changed(change: Change) -> Scheduler {
    let mut scheduler = valid();
    change(&mut scheduler);
    scheduler
}

fn message(change: Change) -> String {
    match validate_new(&changed(change)) {
        Ok(()) => String::new(),
        Err(invalid) => invalid.to_message(),
    }
}

fn patch_message(change: Change) -> String {
    match validate_new(&changed(change)) {
        Ok(()) => String::new(),
        Err(invalid) => invalid.to_patch_message(),
    }
}

fn game(scheduler: &mut Scheduler) -> &mut Container {
    &mut scheduler.spec.containers[0]
}

fn client_port(scheduler: &mut Scheduler) -> &mut ContainerPort {
    &mut scheduler.spec.containers[0].ports[0]
}

fn scaling(scheduler: &mut Scheduler) -> &mut Autoscaling {
    scheduler.autoscaling.as_mut().unwrap()
}

fn occupancy(scheduler: &mut Scheduler) -> &mut RoomOccupancy {
    let parameters = &mut scaling(scheduler).policy.parameters;
    parameters.room_occupancy.as_mut().unwrap()
}

fn check(cases: &[(Change, &str)]) {
    for (index, (change, lines)) in cases.iter().enumerate() {
        let expected = format!("Validation Error:\n{lines}");
        assert_eq!(message(*change), expected, "case {index}");
    }
}

#[test]
fn what_the_contract_accepts_is_accepted() {
    let changes: [Change; 22] = [
        |_| {},
        |s| s.autoscaling = None,
        |s| s.forwarders = None,
        |s| s.match_allocation = None,
        |s| s.max_surge = "0%".into(),
        |s| s.max_surge = "-5%".into(),
        |s| s.max_surge = "+3".into(),
        |s| s.spec.termination_grace_period = 15,
        |s| s.spec.restart_policy = "Sometimes".into(),
        |s| s.spec.version = "banana".into(),
        |s| s.port_range = range(70000, 80000),
        |s| s.port_range = range(-2, -1),
        |s| client_port(s).port = -1,
        |s| client_port(s).protocol = "sctp".into(),
        |s| client_port(s).name = "Fifteen_Chars!!".into(),
        |s| game(s).ports.clear(),
        |s| game(s).requests.cpu = "plenty".into(),
        |s| s.forwarders.as_mut().unwrap()[0].options = None,
        |s| {
            s.forwarders.as_mut().unwrap()[0]
                .options
                .as_mut()
                .unwrap()
                .timeout = -5
        },
        |s| scaling(s).max = -1,
        |s| scaling(s).cooldown = 0,
        |s| s.match_allocation = Some(MatchAllocation { max_matches: 35 }),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        assert_eq!(message(change), "", "case {index}");
    }
}

#[test]
fn names_and_the_game_are_worded() {
    check(&[
        (
            |s| s.name = "".into(),
            "Scheduler.Name: Name is a required field",
        ),
        (
            |s| s.name = "Arena".into(),
            "Scheduler.Name: Name must follow the public RFC 1123 about naming conventions",
        ),
        (
            |s| s.game.clear(),
            "Scheduler.Game: Game is a required field",
        ),
        (
            |s| s.game = "g".repeat(256),
            "Scheduler.Game: Game must be a maximum of 255 characters in length",
        ),
    ]);
}

#[test]
fn names_are_lower_case_labels() {
    let longest = "x".repeat(63);
    for name in ["a", "0", "a-b", "1arena", "a--b", &longest] {
        assert!(valid_name(name), "{name}");
    }
    let too_long = "x".repeat(64);
    for name in [
        "", "-", "a-", "-a", "A", "a.b", "a b", "a_b", "café", "a\n", &too_long,
    ] {
        assert!(!valid_name(name), "{name:?}");
    }
}

#[test]
fn the_size_of_the_fleet_is_worded() {
    const SURGE: &str = "Scheduler.MaxSurge: MaxSurge must be a number greater than zero or a number greater than zero with suffix '%'";
    check(&[
        (
            |s| s.max_surge = Surge::default(),
            "Scheduler.MaxSurge: MaxSurge is a required field",
        ),
        (|s| s.max_surge = "0".into(), SURGE),
        (|s| s.max_surge = "abc".into(), SURGE),
        (|s| s.max_surge = "5%%".into(), SURGE),
        (|s| s.max_surge = "1.5%".into(), SURGE),
        (|s| s.max_surge = "5 %".into(), SURGE),
        (|s| s.max_surge = "1_0".into(), SURGE),
        (
            |s| s.rooms_replicas = -1,
            "Scheduler.RoomsReplicas: RoomsReplicas must be 0 or greater",
        ),
        (
            |s| s.match_allocation = Some(MatchAllocation { max_matches: 0 }),
            "Scheduler.MatchAllocation.MaxMatches: MaxMatches is a required field",
        ),
        (
            |s| s.match_allocation = Some(MatchAllocation { max_matches: -1 }),
            "Scheduler.MatchAllocation.MaxMatches: MaxMatches must be 1 or greater",
        ),
        (
            |s| s.match_allocation = Some(MatchAllocation { max_matches: 36 }),
            "Scheduler.MatchAllocation.MaxMatches: MaxMatches must be 35 or less",
        ),
    ]);
}

#[test]
fn the_spec_is_worded() {
    check(&[
        (
            |s| s.spec = Spec::default(),
            "Scheduler.Spec.TerminationGracePeriod: TerminationGracePeriod must be greater than 0\n\
             Scheduler.Spec.Containers: Containers is a required field",
        ),
        (
            |s| s.spec.termination_grace_period = -1,
            "Scheduler.Spec.TerminationGracePeriod: TerminationGracePeriod must be greater than 0",
        ),
        (
            |s| *game(s) = Container::default(),
            "Scheduler.Spec.Containers[0].Name: Name is a required field\n\
             Scheduler.Spec.Containers[0].Image: Image is a required field\n\
             Scheduler.Spec.Containers[0].ImagePullPolicy: ImagePullPolicy is a required field\n\
             Scheduler.Spec.Containers[0].Requests.Memory: Memory is a required field\n\
             Scheduler.Spec.Containers[0].Requests.CPU: CPU is a required field\n\
             Scheduler.Spec.Containers[0].Limits.Memory: Memory is a required field\n\
             Scheduler.Spec.Containers[0].Limits.CPU: CPU is a required field",
        ),
        (
            |s| game(s).name = "Game".into(),
            "Scheduler.Spec.Containers[0].Name: Name must follow the public RFC 1123 about naming conventions",
        ),
        (
            |s| game(s).image_pull_policy = "always".into(),
            "Scheduler.Spec.Containers[0].ImagePullPolicy: ImagePullPolicy must be one of the following options: Always, Never, IfNotPresent",
        ),
        (
            |s| game(s).environment = vec![named("A"), named("")],
            "Scheduler.Spec.Containers[0].Environment[1].Name: Name is a required field",
        ),
        (
            |s| {
                let mut second = container("");
                second.image.clear();
                s.spec.containers.push(second);
            },
            "Scheduler.Spec.Containers[1].Name: Name is a required field\n\
             Scheduler.Spec.Containers[1].Image: Image is a required field",
        ),
    ]);
}

fn named(name: &str) -> Environment {
    Environment {
        name: name.into(),
        ..Default::default()
    }
}

#[test]
fn ports_are_worded() {
    check(&[
        (
            |s| client_port(s).name = "abcdefghijklmnop".into(),
            "Scheduler.Spec.Containers[0].Ports[0].Name: Name must be a maximum of 15 characters in length",
        ),
        (
            |s| client_port(s).protocol = "UDP".into(),
            "Scheduler.Spec.Containers[0].Ports[0].Protocol: Protocol must be one of the following options: tcp, udp, sctp",
        ),
        (
            |s| client_port(s).port = 0,
            "Scheduler.Spec.Containers[0].Ports[0].Port: Port is a required field",
        ),
        (
            |s| {
                s.port_range = None;
                client_port(s).host_port_range = range(5, 2);
            },
            "Scheduler.Spec.Containers[0].Ports[0].HostPortRange.Start: Start must be less than End\n\
             Scheduler.Spec.Containers[0].Ports[0].HostPortRange.End: End must be greater than Start",
        ),
        (
            |s| s.port_range = range(10, 10),
            "Scheduler.PortRange.Start: Start must be less than End\n\
             Scheduler.PortRange.End: End must be greater than Start",
        ),
    ]);
}

#[test]
fn forwarders_are_worded() {
    check(&[
        (
            |s| s.forwarders.as_mut().unwrap()[0].address.clear(),
            "Scheduler.Forwarders[0].Address: Address is a required field",
        ),
        (
            |s| s.forwarders.as_mut().unwrap()[0].forward_type = "grpc".into(),
            "Scheduler.Forwarders[0].ForwardType: ForwardType must be one of the following options: gRPC",
        ),
        (
            |s| {
                s.forwarders
                    .get_or_insert_default()
                    .push(Forwarder::default())
            },
            "Scheduler.Forwarders[1].Name: Name is a required field\n\
             Scheduler.Forwarders[1].ForwardType: ForwardType is a required field\n\
             Scheduler.Forwarders[1].Address: Address is a required field",
        ),
        (
            |s| s.forwarders.as_mut().unwrap()[0].options = Some(ForwarderOptions::default()),
            "Scheduler.Forwarders[0].Options.Timeout: Timeout is a required field",
        ),
    ]);
}

#[test]
fn autoscaling_is_worded() {
    check(&[
        (
            |s| scaling(s).min = 0,
            "Autoscaling.Min: Min must be 1 or greater",
        ),
        (
            |s| scaling(s).min = 11,
            "Autoscaling.Min: Min must be a number lower than Max",
        ),
        (
            |s| scaling(s).max = -2,
            "Autoscaling.Min: Min must be a number lower than Max\n\
             Autoscaling.Max: Max must be -1 or greater",
        ),
        (
            |s| scaling(s).cooldown = -1,
            "Autoscaling.Cooldown: Cooldown must be 0 or greater",
        ),
        (
            |s| scaling(s).policy = Policy::default(),
            "Autoscaling.Policy.Type: Type must be one of [roomOccupancy fixedBuffer]",
        ),
        (
            |s| scaling(s).policy.parameters = PolicyParameters::default(),
            "Autoscaling.Policy.RoomOccupancy: RoomOccupancy must not be nil for RoomOccupancy policy type",
        ),
        (
            |s| scaling(s).policy.kind = "fixedBuffer".into(),
            "Autoscaling.Policy.FixedBuffer: FixedBuffer must not be nil for FixedBuffer policy type",
        ),
        (
            |s| occupancy(s).ready_target = f64::NAN,
            "Autoscaling.Policy.Parameters.RoomOccupancy.ReadyTarget: ReadyTarget must be greater than 0",
        ),
        (
            |s| occupancy(s).ready_target = 1.0,
            "Autoscaling.Policy.Parameters.RoomOccupancy.ReadyTarget: ReadyTarget must be less than 1",
        ),
        (
            |s| occupancy(s).down_threshold = -1.0,
            "Autoscaling.Policy.Parameters.RoomOccupancy.DownThreshold: DownThreshold must be greater than 0",
        ),
        (
            |s| scaling(s).policy.parameters.fixed_buffer = Some(FixedBuffer { amount: 0 }),
            "Autoscaling.Policy.Parameters.FixedBuffer.Amount: Amount must be greater than 0",
        ),
        // It is checked even when it is disabled, and it hides all other violations.
        (
            |s| {
                s.name = "BAD".into();
                scaling(s).enabled = false;
                scaling(s).min = 0;
            },
            "Autoscaling.Min: Min must be 1 or greater",
        ),
    ]);
}

#[test]
fn violations_follow_the_fields_of_the_document() {
    check(&[(
        |s| {
            s.forwarders.as_mut().unwrap()[0].name.clear();
            s.rooms_replicas = -3;
            s.game.clear();
            s.max_surge = "x".into();
            s.port_range = range(2, 1);
            s.spec.termination_grace_period = 0;
            s.match_allocation = Some(MatchAllocation { max_matches: 0 });
            client_port(s).name.clear();
        },
        "Scheduler.Game: Game is a required field\n\
         Scheduler.Spec.TerminationGracePeriod: TerminationGracePeriod must be greater than 0\n\
         Scheduler.Spec.Containers[0].Ports[0].Name: Name is a required field\n\
         Scheduler.PortRange.Start: Start must be less than End\n\
         Scheduler.PortRange.End: End must be greater than Start\n\
         Scheduler.RoomsReplicas: RoomsReplicas must be 0 or greater\n\
         Scheduler.MaxSurge: MaxSurge must be a number greater than zero or a number greater than zero with suffix '%'\n\
         Scheduler.Forwarders[0].Name: Name is a required field\n\
         Scheduler.MatchAllocation.MaxMatches: MaxMatches is a required field",
    )]);
}

const BOTH: &str = "scheduler.PortRange and scheduler.Spec.Container.Ports.HostPortRange are mutually exclusive configurations; please choose only one";
const NEITHER: &str =
    "must configure scheduler.PortRange or scheduler.Spec.Container.Ports.HostPortRange";
const PARTLY: &str = "must configure HostPortRange for all scheduler.Spec.Container.Ports";

#[test]
fn host_ports_are_configured_in_one_way() {
    let own_range: Change = |s| {
        s.port_range = None;
        client_port(s).host_port_range = range(1, 2);
    };
    assert_eq!(message(own_range), "");
    assert_eq!(
        message(|s| client_port(s).host_port_range = range(1, 2)),
        BOTH
    );
    // If there are ports, they need ranges.
    assert_eq!(message(|s| s.port_range = None), PARTLY);
    let without_ports: Change = |s| {
        s.port_range = None;
        game(s).ports.clear();
    };
    assert_eq!(message(without_ports), NEITHER);
    let bare_port_later: Change = |s| {
        s.port_range = None;
        game(s).ports.clear();
        s.spec.containers.push(container("sidecar"));
    };
    assert_eq!(message(bare_port_later), PARTLY);
    let partly: Change = |s| {
        s.port_range = None;
        client_port(s).host_port_range = range(1, 2);
        s.spec.containers.push(container("sidecar"));
    };
    assert_eq!(message(partly), PARTLY);
    // Ports are checked only if every field is valid.
    let both_wrong: Change = |s| {
        s.port_range = None;
        s.game.clear();
    };
    assert_eq!(
        message(both_wrong),
        "Validation Error:\nScheduler.Game: Game is a required field"
    );
}

#[test]
fn a_new_version_may_leave_out_the_range_when_ports_have_their_own() {
    let new_version = |change: Change| match validate_new_version(&changed(change)) {
        Ok(()) => String::new(),
        Err(invalid) => invalid.to_message(),
    };
    assert_eq!(new_version(|_| {}), "");
    let own_range: Change = |s| {
        s.port_range = None;
        client_port(s).host_port_range = range(1, 2);
    };
    assert_eq!(new_version(own_range), "");
    let partly: Change = |s| {
        s.port_range = None;
        client_port(s).host_port_range = range(1, 2);
        s.spec.containers.push(container("sidecar"));
    };
    for change in [partly, |s| s.port_range = None] {
        assert_eq!(
            new_version(change),
            "Validation Error:\n\
             Scheduler.PortRange.Start: Start must be less than End\n\
             Scheduler.PortRange.End: End must be greater than Start"
        );
    }
}

/// The path below the scheduler, the field, and the tag.
type Tagged = (&'static str, &'static str, &'static str);

#[test]
fn a_patch_is_answered_with_tags() {
    let cases: [(Change, &[Tagged]); 14] = [
        (
            |s| s.autoscaling = Some(Autoscaling::default()),
            &[
                ("Autoscaling.Min", "Min", "min"),
                ("Autoscaling.Policy.Type", "Type", "oneof"),
            ],
        ),
        (
            |s| scaling(s).policy.parameters = PolicyParameters::default(),
            &[(
                "Autoscaling.Policy.RoomOccupancy",
                "RoomOccupancy",
                "required_for_room_occupancy",
            )],
        ),
        (
            |s| scaling(s).min = 11,
            &[("Autoscaling.Min", "Min", "custom_lower_than")],
        ),
        (
            |s| s.max_surge = "abc".into(),
            &[("MaxSurge", "MaxSurge", "max_surge")],
        ),
        (
            |s| s.max_surge = Surge::default(),
            &[("MaxSurge", "MaxSurge", "required")],
        ),
        (
            |s| s.port_range = range(6, 5),
            &[
                ("PortRange.Start", "Start", "ltfield"),
                ("PortRange.End", "End", "gtfield"),
            ],
        ),
        (
            |s| s.spec.termination_grace_period = 0,
            &[(
                "Spec.TerminationGracePeriod",
                "TerminationGracePeriod",
                "gt",
            )],
        ),
        (
            |s| game(s).requests.cpu.clear(),
            &[("Spec.Containers[0].Requests.CPU", "CPU", "required")],
        ),
        (
            |s| game(s).image_pull_policy = "x".into(),
            &[(
                "Spec.Containers[0].ImagePullPolicy",
                "ImagePullPolicy",
                "image_pull_policy",
            )],
        ),
        (
            |s| client_port(s).protocol = "x".into(),
            &[(
                "Spec.Containers[0].Ports[0].Protocol",
                "Protocol",
                "ports_protocol",
            )],
        ),
        (
            |s| s.forwarders.as_mut().unwrap()[0].forward_type = "http".into(),
            &[("Forwarders[0].ForwardType", "ForwardType", "forwarder_type")],
        ),
        (
            |s| s.match_allocation = Some(MatchAllocation { max_matches: 36 }),
            &[("MatchAllocation.MaxMatches", "MaxMatches", "max")],
        ),
        (
            |s| game(s).name = "X".into(),
            &[("Spec.Containers[0].Name", "Name", "kube_resource_name")],
        ),
        // Unlike on creation, all violations are reported.
        (
            |s| {
                scaling(s).min = 0;
                s.game.clear();
                s.rooms_replicas = -1;
            },
            &[
                ("Game", "Game", "required"),
                ("Autoscaling.Min", "Min", "min"),
                ("RoomsReplicas", "RoomsReplicas", "min"),
            ],
        ),
    ];
    for (index, (change, violations)) in cases.into_iter().enumerate() {
        let lines: Vec<String> = violations
            .iter()
            .map(|(path, field, tag)| {
                format!("Key: 'Scheduler.{path}' Error:Field validation for '{field}' failed on the '{tag}' tag")
            })
            .collect();
        let expected = format!("invalid patched scheduler: {}", lines.join("\n"));
        assert_eq!(patch_message(change), expected, "case {index}");
    }
    assert_eq!(
        patch_message(|s| client_port(s).host_port_range = range(5, 6)),
        format!("invalid patched scheduler: {BOTH}")
    );
}
