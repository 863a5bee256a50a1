//! The codec against the rules of contract 2.1, 2.3 and 15.

use std::time::Instant;

use proptest::prelude::*;

use super::messages::*;
use super::*;

fn create(body: &str) -> Result<CreateSchedulerRequest, String> {
    decode(body.as_bytes()).map_err(|e| e.to_string())
}

fn ping(body: &str) -> Result<UpdateRoomWithPingRequest, String> {
    decode(body.as_bytes()).map_err(|e| e.to_string())
}

#[test]
fn both_spellings_and_unknown_fields_are_read() {
    let body = r#"{"rooms_replicas":3,"maxSurge":"1","zzz":1,"zzz":[{"a":null}],"port_range":{"start":"1","end":2.0,"x":{}}}"#;
    let request = create(body).unwrap();
    assert_eq!(request.rooms_replicas, 3);
    assert_eq!(request.max_surge, "1");
    assert_eq!(request.port_range, Some(PortRange { start: 1, end: 2 }));
}

#[test]
fn escaped_field_names_are_names() {
    assert_eq!(create(r#"{"ga\u006de":"x"}"#).unwrap().game, "x");
}

#[test]
fn integers_take_numbers_strings_and_integral_floats() {
    for (text, expected) in [
        ("2", Some(2)),
        ("\"2\"", Some(2)),
        ("\"2.0\"", Some(2)),
        ("1e1", Some(10)),
        ("\"1e1\"", Some(10)),
        ("20e-1", Some(2)),
        ("2147483647", Some(i32::MAX)),
        ("null", Some(0)),
        ("2147483648", None),
        ("-2147483649", None),
        ("2.5", None),
        ("\"2 \"", None),
        ("\" 2\"", None),
        ("\"\"", None),
        ("\"+2\"", None),
        ("\"02\"", None),
        ("true", None),
        ("[]", None),
        ("{}", None),
    ] {
        let got = create(&format!("{{\"roomsReplicas\": {text}}}"));
        assert_eq!(
            got.as_ref().ok().map(|r| r.rooms_replicas),
            expected,
            "{text}: {got:?}"
        );
        if let Err(message) = got {
            assert!(
                message.starts_with(
                    "proto: (line 1:19): invalid value for int32 field roomsReplicas: "
                ),
                "{message}"
            );
        }
    }
}

#[test]
fn syntax_errors_win_over_type_errors() {
    assert_eq!(create(r#"{"game": 5, "#).unwrap_err(), "unexpected EOF");
    assert_eq!(
        create(r#"{"game": 5, 'x'}"#).unwrap_err(),
        r"invalid character '\'' looking for beginning of object key string"
    );
    assert_eq!(
        create(r#"{"roomsReplicas": 02}"#).unwrap_err(),
        "invalid character '2' after object key:value pair"
    );
}

#[test]
fn well_formed_bodies_of_a_wrong_type_are_proto_errors() {
    for body in [
        "null",
        "[]",
        "\"x\"",
        "12",
        r#"{"name":5}"#,
        r#"{"autoscaling":{"enabled":"true"}}"#,
        r#"{"autoscaling":{"enabled":1}}"#,
        r#"{"forwarders":[null]}"#,
        r#"{"forwarders":{}}"#,
        r#"{"annotations":{"a":null}}"#,
        r#"{"annotations":{"a":1}}"#,
        r#"{"annotations":{"a":"1","a":"2"}}"#,
        r#"{"game":null,"game":"x"}"#,
        r#"{"maxSurge":"1","max_surge":"1"}"#,
        r#"{"portRange":"1-2"}"#,
        r#"{"game":"\ud800"}"#,
        r#"{"unknown":"\ud800"}"#,
        r#"{"spec":{"terminationGracePeriod":100}}"#,
        r#"{"autoscaling":{"policy":{"parameters":{"roomOccupancy":{"readyTarget":3.5e38}}}}}"#,
        r#"{"autoscaling":{"policy":{"parameters":{"roomOccupancy":{"readyTarget":"x"}}}}}"#,
    ] {
        let message = create(body).unwrap_err();
        assert!(message.starts_with("proto:"), "{body}: {message}");
    }
}

#[test]
fn only_the_first_value_is_read() {
    assert_eq!(create(r#" {"game":"a"}{"game":"#).unwrap().game, "a");
    let request: CreateSchedulerRequest = decode(b"{\"game\":\"a\"}\xff").unwrap();
    assert_eq!(request.game, "a");
    assert_eq!(
        create(" \n\t\r").unwrap(),
        CreateSchedulerRequest::default()
    );
}

#[test]
fn invalid_utf8_inside_the_value_is_a_proto_error() {
    let error = decode::<CreateSchedulerRequest>(b"{\"game\":\"\xff\"}").unwrap_err();
    assert!(error.to_string().starts_with("proto:"), "{error}");
}

#[test]
fn floats_take_the_special_words() {
    let target = |text: &str| {
        let body = format!(
            r#"{{"autoscaling":{{"policy":{{"parameters":{{"roomOccupancy":{{"readyTarget":{text}}}}}}}}}}}"#
        );
        let request = create(&body).unwrap();
        let policy = request.autoscaling.unwrap().policy.unwrap();
        policy
            .parameters
            .unwrap()
            .room_occupancy
            .unwrap()
            .ready_target
    };
    assert!(target("\"NaN\"").is_nan());
    assert_eq!(target("\"-Infinity\""), f32::NEG_INFINITY);
    assert_eq!(target("\"0.5\""), 0.5);
    assert_eq!(target("0.1"), 0.1);
}

#[test]
fn an_empty_map_is_not_an_absent_one() {
    let request = create(r#"{"annotations":{},"forwarders":[]}"#).unwrap();
    assert_eq!(request.annotations, Some(Default::default()));
    assert_eq!(request.labels, None);
}

#[test]
fn a_ping_keeps_its_metadata_as_text() {
    let request = ping(r#"{"status":"ready","metadata":{"a":[1,{"b":null}]},"timestamp":"12","running_matches":2.0}"#).unwrap();
    assert_eq!(
        request.metadata.unwrap().as_str(),
        r#"{"a":[1,{"b":null}]}"#
    );
    assert_eq!((request.timestamp, request.running_matches), (12, 2));
    assert_eq!(request.status, "ready");
    for body in [
        r#"{"metadata":"x"}"#,
        r#"{"metadata":[1]}"#,
        r#"{"metadata":{"a":1,"a":2}}"#,
    ] {
        assert!(ping(body).unwrap_err().starts_with("proto:"), "{body}");
    }
    assert_eq!(
        ping(r#"{"metadata":{"a":NaN}}"#).unwrap_err(),
        "invalid character 'N' looking for beginning of value"
    );
    assert_eq!(ping(r#"{"metadata":null}"#).unwrap().metadata, None);
}

#[test]
fn deep_nesting_is_read_to_the_limit_and_refused_quickly_beyond() {
    let nested = |n: usize| {
        format!(
            "{{\"status\":\"ready\",\"zz\":{}{}}}",
            "[".repeat(n),
            "]".repeat(n)
        )
    };
    assert!(ping(&nested(5_000)).is_ok());
    assert!(ping(&nested(9_999)).is_ok());
    assert_eq!(
        ping(&nested(10_000)).unwrap_err(),
        "invalid character '[' exceeded max depth"
    );
    let objects = format!("{{\"metadata\":{}", "{\"a\":".repeat(200_000));
    let started = Instant::now();
    assert_eq!(
        ping(&objects).unwrap_err(),
        "invalid character '{' exceeded max depth"
    );
    assert_eq!(
        ping(&"[".repeat(1 << 20)).unwrap_err(),
        "invalid character '[' exceeded max depth"
    );
    assert!(
        started.elapsed().as_millis() < 100,
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_scheduler_prints_in_proto_order_with_the_contracts_presence() {
    let scheduler = Scheduler {
        name: "arena".into(),
        rooms_replicas: 2,
        created_at: Some(jiff::Timestamp::UNIX_EPOCH),
        annotations: Some(
            [
                ("b".to_owned(), "2".to_owned()),
                ("a".to_owned(), "\u{7}\"</script>".to_owned()),
            ]
            .into(),
        ),
        forwarders: vec![Forwarder {
            options: Some(ForwarderOptions {
                timeout: 1000,
                metadata: Some(Struct::default()),
            }),
            ..Forwarder::default()
        }],
        spec: Some(Spec {
            termination_grace_period: Some(Duration {
                seconds: 90,
                nanos: 500_000_000,
            }),
            restart_policy: Some("Never".into()),
            ..Spec::default()
        }),
        ..Scheduler::default()
    };
    let expected = concat!(
        r#"{"scheduler":{"name":"arena","game":"","state":"","portRange":null,"createdAt":"1970-01-01T00:00:00Z","#,
        r#""maxSurge":"","roomsReplicas":2,"spec":{"version":"","terminationGracePeriod":"90.500s","containers":[],"#,
        r#""toleration":"","affinity":"","restartPolicy":"Never"},"forwarders":[{"name":"","enable":false,"type":"","#,
        r#""address":"","options":{"timeout":"1000","metadata":{}}}],"annotations":{"a":"\u0007\"</script>","b":"2"},"#,
        r#""labels":{}}}"#
    );
    let response = CreateSchedulerResponse {
        scheduler: Some(scheduler),
    };
    assert_eq!(encode(&response), expected);
    assert_eq!(
        decode(expected.as_bytes()),
        Ok(CreateSchedulerResponse {
            scheduler: response.scheduler.map(|s| Scheduler {
                labels: Some(Default::default()),
                ..s
            })
        })
    );
}

#[test]
fn answers_without_content_keep_their_shape() {
    assert_eq!(encode(&CancelOperationResponse::default()), "{}");
    assert_eq!(
        encode(&ListSchedulersResponse::default()),
        r#"{"schedulers":[]}"#
    );
    assert_eq!(
        encode(&GetOperationResponse::default()),
        r#"{"operation":null}"#
    );
    assert_eq!(
        encode(&AllocateRoomResponse::default()),
        r#"{"roomId":"","success":false,"message":"","ports":[],"host":""}"#
    );
    assert_eq!(
        encode(&Operation::default()),
        r#"{"id":"","status":"","definitionName":"","schedulerName":"","createdAt":null,"input":null,"executionHistory":[]}"#
    );
    assert_eq!(
        encode(&SchedulerInfo::default()),
        concat!(
            r#"{"name":"","game":"","state":"","roomsReplicas":0,"roomsReady":0,"roomsOccupied":0,"roomsPending":0,"#,
            r#""roomsTerminating":0,"autoscaling":null}"#
        )
    );
}

#[test]
fn the_word_type_is_a_field_name() {
    assert_eq!(
        create(r#"{"forwarders":[{"type":"gRPC"}]}"#)
            .unwrap()
            .forwarders[0]
            .r#type,
        "gRPC"
    );
}

#[test]
fn a_complaint_about_yaml_names_its_line() {
    let head = "# A comment\nname: arena\nspec: &spec\n  containers:\n";
    for (rest, place) in [
        ("    - {name: a, ports: [{port: many}]}\n", "(line 5:32): "),
        (
            "    - name: a\n      ports:\n        - protocol: tcp\n          port: 1.5\n",
            "(line 8:17): ",
        ),
        ("    - name: [a]\n", "(line 5:13): "),
        (
            "    []\nroomsReplicas: 1\n\nrooms_replicas: 2\n",
            "(line 8:17): ",
        ),
        (
            "    - name: |\n        two\n        lines\n      image:\n        deep: 1\n",
            "(line 9:9): ",
        ),
    ] {
        let yaml = format!("{head}{rest}");
        let refused = decode_yaml::<CreateSchedulerRequest>(yaml.as_bytes()).unwrap_err();
        assert!(refused.to_string().contains(place), "{yaml}: {refused}");
    }
}

#[test]
fn a_complaint_about_yaml_quotes_what_was_written() {
    for own in ["007", "1.10", "off", "0x1F", "1e3", "-0.50", "Yes"] {
        for yaml in [
            format!("name: {own}\n"),
            format!("spec:\n  containers:\n  - environment: [{{name: BUILD, value: {own}}}]\n"),
        ] {
            let refused = decode_yaml::<CreateSchedulerRequest>(yaml.as_bytes()).unwrap_err();
            let refused = refused.to_string();
            assert!(refused.ends_with(&format!(": {own}")), "{yaml}: {refused}");
        }
    }
}

#[test]
fn yaml_reads_like_json() {
    let yaml = "name: arena\nmaxSurge: '25%'\nspec:\n  terminationGracePeriod: 100\n  containers:\n  - name: gs\n    ports: []\n";
    let json = yaml_to_json(yaml.as_bytes()).unwrap();
    let request: CreateSchedulerRequest = decode(&json).unwrap();
    assert_eq!(request.name, "arena");
    let spec = request.spec.unwrap();
    assert_eq!(
        spec.termination_grace_period,
        Some(Duration {
            seconds: 100,
            nanos: 0
        })
    );
    assert_eq!(spec.containers[0].name, "gs");
    let same: CreateSchedulerRequest = decode_yaml(yaml.as_bytes()).unwrap();
    assert_eq!(
        encode(&same),
        encode(&decode::<CreateSchedulerRequest>(&json).unwrap())
    );
    assert_eq!(yaml_to_json(b"").unwrap(), b"");
    assert!(yaml_to_json(b"a: [1").is_err());
    assert!(yaml_to_json("[".repeat(100_000).as_bytes()).is_err());
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(yaml_to_json(nested(60).as_bytes()).is_ok());
    assert!(yaml_to_json(nested(1500).as_bytes()).is_err());
}

const SAMPLE: &str = r#"{"name":"a","game":"g\u00e9","maxSurge":"25%","rooms_replicas":1e1,"portRange":{"start":1,"end":2},
 "spec":{"terminationGracePeriod":"90s","containers":[{"command":["x"],"ports":[{"hostPortRange":null}]}]},
 "forwarders":[{"options":{"timeout":"5","metadata":{"a":[1,null,true,{"b":-1.5e3}]}}}],"labels":{"k":"v"},"zz":[[]]}"#;

proptest! {
    /// Whatever is accepted is well-formed, and nothing panics.
    #[test]
    fn mutated_bodies_are_read_or_refused(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6)) {
        let mut body = SAMPLE.as_bytes().to_vec();
        for (index, byte, action) in edits {
            let at = index.index(body.len());
            match action {
                0 => body[at] = byte,
                1 => body.insert(at, b"{}[]\",:\\u0dntf"[usize::from(byte) % 14]),
                _ => body.truncate(at.max(1)),
            }
        }
        match decode::<CreateSchedulerRequest>(&body) {
            Ok(request) => {
                prop_assert_eq!(syntax::first_error(&body), None);
                let printed = encode(&request);
                prop_assert!(serde_json::from_str::<serde_json::Value>(&printed).is_ok(), "{}", printed);
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
