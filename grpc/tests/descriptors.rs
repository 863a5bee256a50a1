//! Compares what `proto/` declares, once compiled, with what `maestro_api` declares: both must agree.

use std::collections::BTreeMap;

use maestro_api::codec::messages::*;
use maestro_api::codec::{Declaration, Field, FieldKind, Message, Type};
use maestro_api::{management_calls, operator_calls, rooms_calls};
use maestro_grpc::{
    API_DESCRIPTORS, CONTROL_DESCRIPTORS, PUBLIC_DESCRIPTORS, RESOURCES_DESCRIPTORS,
    RUNTIME_DESCRIPTORS, VERSION_DESCRIPTORS,
};
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type as Wire};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// All of our files but that of runtimes, whose messages have names of others, by name.
fn files() -> BTreeMap<String, FileDescriptorProto> {
    let sets = [
        API_DESCRIPTORS,
        PUBLIC_DESCRIPTORS,
        CONTROL_DESCRIPTORS,
        RESOURCES_DESCRIPTORS,
        VERSION_DESCRIPTORS,
    ];
    sets.into_iter()
        .flat_map(|set| FileDescriptorSet::decode(set).expect("descriptors").file)
        .filter(|file| !file.package().starts_with("google."))
        .map(|file| (file.name().to_owned(), file))
        .collect()
}

/// A call: its name in the trait, its request and its response.
type Call = (&'static str, &'static Declaration, &'static Declaration);

fn calls() -> Vec<Call> {
    macro_rules! of {
        ($api:ident { $($rpc:ident($request:ident) -> $answer:ident;)* }) => {
            vec![$((stringify!($rpc), $request::DECLARATION, $answer::DECLARATION)),*]
        };
    }
    use resourcemetrics::{AlertsRequest, AlertsResponse, Response, VersionRequest};
    let (version, samples) = (VersionRequest::DECLARATION, Response::DECLARATION);
    let resources = vec![
        ("get_version", version, samples),
        ("watch_version", version, samples),
        (
            "get_alerts",
            AlertsRequest::DECLARATION,
            AlertsResponse::DECLARATION,
        ),
    ];
    [
        management_calls!(of),
        rooms_calls!(of),
        operator_calls!(of),
        resources,
    ]
    .concat()
}

/// Those of package `version`, whose messages have names that others have too.
fn version_calls() -> Vec<Call> {
    use version::{NodeStatusRequest, NodeStatusResponse, Request, Response};
    let (request, response) = (Request::DECLARATION, Response::DECLARATION);
    let orders = ["start", "stop", "publish", "unpublish", "update_config"];
    let watch = (
        "watch_node_status",
        NodeStatusRequest::DECLARATION,
        NodeStatusResponse::DECLARATION,
    );
    let orders = orders.map(|name| (name, request, response));
    orders.into_iter().chain([watch]).collect()
}

/// Every message that a call uses, directly or nested.
fn declared(calls: Vec<Call>) -> BTreeMap<&'static str, &'static Declaration> {
    let mut open: Vec<_> = calls
        .into_iter()
        .flat_map(|(_, request, answer)| [request, answer])
        .collect();
    let mut found = BTreeMap::new();
    while let Some(declaration) = open.pop() {
        if found.insert(declaration.name, declaration).is_none() {
            open.extend(
                declaration
                    .fields
                    .iter()
                    .filter_map(|field| match field.of {
                        Type::Message(inner) => Some(inner),
                        _ => None,
                    }),
            );
        }
    }
    found
}

/// A field as text: number, name, JSON name, label and type.
fn in_words(field: &Field, packages: &BTreeMap<String, String>) -> String {
    let name = field.proto.trim_start_matches("r#");
    let label = match field.kind {
        FieldKind::One | FieldKind::Msg => "",
        FieldKind::Opt => "optional ",
        FieldKind::Many => "repeated ",
        FieldKind::Map => "map of ",
    };
    let of = match field.of {
        Type::Text => "string",
        Type::Bool => "bool",
        Type::Int32 => "int32",
        Type::Uint32 => "uint32",
        Type::Int64 => "int64",
        Type::Uint64 => "uint64",
        Type::Float => "float",
        Type::Double => "double",
        Type::Duration => ".google.protobuf.Duration",
        Type::Timestamp => ".google.protobuf.Timestamp",
        Type::Object => ".google.protobuf.Struct",
        Type::Message(inner) => &format!(".{}.{}", packages[inner.name], inner.name),
    };
    // A message field has presence even if it is not `optional`: that is what `msg` stands for.
    let presence = matches!(
        field.of,
        Type::Message(_) | Type::Duration | Type::Timestamp | Type::Object
    );
    assert!(
        field.kind != FieldKind::One || !presence,
        "{name} has to be msg"
    );
    assert!(
        field.kind != FieldKind::Msg || presence,
        "{name} is no message"
    );
    format!("{} {name} {} {label}{of}", field.number, field.json)
}

fn proto_in_words(field: &FieldDescriptorProto, message: &DescriptorProto) -> String {
    let last = field.type_name().rsplit('.').next().unwrap_or_default();
    let entry = message
        .nested_type
        .iter()
        .find(|inner| inner.name() == last);
    let (label, of) = match entry {
        Some(entry) => ("map of ", type_of(&entry.field[1])),
        None if field.label() == Label::Repeated => ("repeated ", type_of(field)),
        None if field.proto3_optional() => ("optional ", type_of(field)),
        None => ("", type_of(field)),
    };
    format!(
        "{} {} {} {label}{of}",
        field.number(),
        field.name(),
        field.json_name()
    )
}

fn type_of(field: &FieldDescriptorProto) -> &str {
    match field.r#type() {
        Wire::String => "string",
        Wire::Bool => "bool",
        Wire::Int32 => "int32",
        Wire::Uint32 => "uint32",
        Wire::Int64 => "int64",
        Wire::Uint64 => "uint64",
        Wire::Float => "float",
        Wire::Double => "double",
        Wire::Message => field.type_name(),
        other => panic!("{} is a {other:?}", field.name()),
    }
}

#[test]
fn every_message_is_declared_as_the_proto_files_have_it() {
    let (of_version, others): (Vec<_>, Vec<_>) = files()
        .into_values()
        .partition(|file| file.package() == "version");
    agree(&declared(calls()), &others);
    agree(&declared(version_calls()), &of_version);
}

fn agree(declared: &BTreeMap<&str, &Declaration>, files: &[FileDescriptorProto]) {
    let mut messages: BTreeMap<&str, &DescriptorProto> = BTreeMap::new();
    let mut packages = BTreeMap::new();
    for file in files {
        for message in &file.message_type {
            let before = messages.insert(message.name(), message);
            assert!(before.is_none(), "{} is there twice", message.name());
            packages.insert(message.name().to_owned(), file.package().to_owned());
        }
    }
    let names = |all: Vec<&&str>| all.into_iter().copied().collect::<Vec<_>>().join(" ");
    assert_eq!(
        names(declared.keys().collect()),
        names(messages.keys().collect())
    );
    for (name, message) in messages {
        let mut wanted: Vec<_> = message
            .field
            .iter()
            .map(|f| proto_in_words(f, message))
            .collect();
        let fields = declared[name].fields.iter();
        let mut found: Vec<_> = fields.map(|field| in_words(field, &packages)).collect();
        wanted.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, wanted, "{name}");
    }
}

/// `api.v1` belongs to the contract, and `resourcemetrics` to its clients: our additions use numbers that they will
/// never assign. Only the parts of an alert are numbered from 1: no other message has its name.
#[test]
fn what_is_ours_is_numbered_from_100() {
    for file in files().values().filter(|file| file.package() != "version") {
        let numbers = file.message_type.iter();
        let numbers = numbers.filter(|m| !matches!(m.name(), "AlertsRequest" | "AlertsResponse"));
        let numbers = numbers.flat_map(|m| &m.field);
        let numbers: Vec<i32> = numbers.map(FieldDescriptorProto::number).collect();
        match file.package() {
            "maestro.v1" => assert!(numbers.iter().all(|n| *n >= 100), "{}", file.name()),
            _ => assert!(numbers.iter().all(|n| *n < 100), "{}", file.name()),
        }
    }
}

#[test]
fn every_call_of_the_traits_is_a_method_of_one_service() {
    let files = files();
    let mut methods = BTreeMap::new();
    let mut services = Vec::new();
    for service in files.values().flat_map(|file| &file.service) {
        services.push((service.name(), service.method.len()));
        for method in &service.method {
            let types = [method.input_type(), method.output_type()];
            let types = types.map(|path| path.rsplit('.').next().unwrap_or_default().to_owned());
            let before = methods.insert(method.name().to_lowercase(), types);
            assert!(before.is_none(), "{} is there twice", method.name());
        }
    }
    services.sort_unstable();
    let expected = [
        ("ControlService", 12),
        ("FleetService", 2),
        ("OperationsService", 3),
        ("OperatorService", 8),
        ("ResourceMetricsService", 3),
        ("RoomsService", 6),
        ("SchedulersService", 9),
        ("VersionService", 6),
    ];
    assert_eq!(services, expected);
    let wanted: BTreeMap<_, _> = calls()
        .into_iter()
        .chain(version_calls())
        .map(|(name, request, answer)| {
            let types = [request.name.to_owned(), answer.name.to_owned()];
            (name.replace('_', ""), types)
        })
        .collect();
    assert_eq!(methods, wanted);
}

#[test]
fn what_clients_of_the_k8s_manager_do_not_know_is_numbered_from_100() {
    let files = files();
    let ours = ["AlertsRequest", "AlertsResponse"];
    let messages = &files["resourcemetrics.proto"].message_type;
    let of_ours = messages.iter().filter(|m| ours.contains(&m.name()));
    let numbers: Vec<i32> = of_ours
        .flat_map(|m| &m.field)
        .map(FieldDescriptorProto::number)
        .collect();
    assert!(
        numbers.len() == 3 && numbers.iter().all(|n| *n >= 100),
        "{numbers:?}"
    );
}

#[test]
fn the_messages_of_runtimes_are_declared_as_their_proto_file_has_them() {
    let set = FileDescriptorSet::decode(RUNTIME_DESCRIPTORS).expect("descriptors");
    let file = &set.file[0];
    let package = |message: &DescriptorProto| (message.name().to_owned(), "runtime".to_owned());
    let packages = file.message_type.iter().map(package).collect();
    let declared = [
        runtime::Runtime::DECLARATION,
        runtime::MinioConf::DECLARATION,
        runtime::MongoConf::DECLARATION,
        runtime::Request::DECLARATION,
        runtime::Response::DECLARATION,
        runtime::RuntimeStatusResponse::DECLARATION,
    ];
    assert_eq!(file.message_type.len(), declared.len());
    for (message, declared) in file.message_type.iter().zip(declared) {
        assert_eq!(message.name(), declared.name);
        let wanted = message.field.iter().map(|f| proto_in_words(f, message));
        let found = declared.fields.iter().map(|f| in_words(f, &packages));
        assert_eq!(found.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    }
    let methods = file.service[0].method.iter().map(|method| method.name());
    assert_eq!(methods.collect::<Vec<_>>(), ["Create", "RuntimeStatus"]);
}

/// `scripts/generate_proto.sh` writes it.
#[test]
fn the_descriptors_for_clients_without_reflection_are_up_to_date() {
    let files = ["runtime.proto", "version.proto", "resourcemetrics.proto"];
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let compiled = protox::compile(files, [proto]).expect("whole files");
    let kept = include_bytes!("../proto/k8s-manager.bin");
    let text = "run scripts/generate_proto.sh";
    assert!(compiled.encode_to_vec() == kept, "{text}");
    // The services of the seed keep their names, and ours are among them.
    let services = compiled.file.iter().flat_map(|file| &file.service);
    let names: Vec<_> = services.map(|service| service.name()).collect();
    assert_eq!(
        names,
        ["RuntimeService", "VersionService", "ResourceMetricsService"]
    );
}
