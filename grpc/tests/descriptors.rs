//! What `proto/api/v1` declares, as reflection tells it, against what the codec declares: one and the same.

use std::collections::BTreeMap;

use maestro_api::codec::messages::*;
use maestro_api::codec::{Declaration, Field, Kind, Message, Type};
use maestro_grpc::API_DESCRIPTORS;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type as Wire};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

fn files() -> FileDescriptorSet {
    FileDescriptorSet::decode(API_DESCRIPTORS).expect("descriptors")
}

/// Every message that is declared for a call, and what they are made of.
fn declared() -> BTreeMap<&'static str, &'static Declaration> {
    macro_rules! of {
        ($($call:ident)*) => { vec![$($call::DECLARATION),*] };
    }
    let mut open = of! {
        ListSchedulersRequest ListSchedulersResponse GetSchedulerRequest GetSchedulerResponse
        CreateSchedulerRequest CreateSchedulerResponse NewSchedulerVersionRequest NewSchedulerVersionResponse
        PatchSchedulerRequest PatchSchedulerResponse GetSchedulerVersionsRequest GetSchedulerVersionsResponse
        SwitchActiveVersionRequest SwitchActiveVersionResponse GetSchedulersInfoRequest GetSchedulersInfoResponse
        DeleteSchedulerRequest DeleteSchedulerResponse
        ListOperationsRequest ListOperationsResponse CancelOperationRequest CancelOperationResponse
        GetOperationRequest GetOperationResponse
        UpdateRoomWithPingRequest UpdateRoomWithPingResponse ForwardRoomEventRequest ForwardRoomEventResponse
        ForwardPlayerEventRequest ForwardPlayerEventResponse UpdateRoomStatusRequest UpdateRoomStatusResponse
        GetRoomAddressRequest GetRoomAddressResponse AllocateRoomRequest AllocateRoomResponse
    };
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

/// A field in words: number, name, name in JSON, label and type.
fn in_words(field: &Field) -> String {
    let name = field.proto.trim_start_matches("r#");
    let label = match field.kind {
        Kind::One | Kind::Msg => "",
        Kind::Opt => "optional ",
        Kind::Many => "repeated ",
        Kind::Map => "map of ",
    };
    let of = match field.of {
        Type::Text => "string",
        Type::Bool => "bool",
        Type::Int32 => "int32",
        Type::Uint32 => "uint32",
        Type::Int64 => "int64",
        Type::Uint64 => "uint64",
        Type::Float => "float",
        Type::Duration => ".google.protobuf.Duration",
        Type::Timestamp => ".google.protobuf.Timestamp",
        Type::Object => ".google.protobuf.Struct",
        Type::Message(inner) => &format!(".api.v1.{}", inner.name),
    };
    // A message that is not `optional` has presence all the same: that is what `msg` says of it.
    let presence = matches!(
        field.of,
        Type::Message(_) | Type::Duration | Type::Timestamp | Type::Object
    );
    assert!(field.kind != Kind::One || !presence, "{name} has to be msg");
    assert!(field.kind != Kind::Msg || presence, "{name} is no message");
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
        Wire::Message => field.type_name(),
        other => panic!("{} is a {other:?}", field.name()),
    }
}

#[test]
fn every_message_is_declared_as_the_proto_files_have_it() {
    let declared = declared();
    let files = files();
    let ours = files.file.iter().filter(|file| file.package() == "api.v1");
    let messages: BTreeMap<&str, &DescriptorProto> = ours
        .flat_map(|file| &file.message_type)
        .map(|message| (message.name(), message))
        .collect();
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
        let mut found: Vec<_> = declared[name].fields.iter().map(in_words).collect();
        wanted.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, wanted, "{name}");
    }
}

#[test]
fn the_descriptors_hold_the_three_services() {
    let set = files();
    let mut services: Vec<(&str, usize)> = set
        .file
        .iter()
        .filter(|file| file.package() == "api.v1")
        .flat_map(|file| &file.service)
        .map(|service| (service.name(), service.method.len()))
        .collect();
    services.sort_unstable();
    let expected = [
        ("OperationsService", 3),
        ("RoomsService", 6),
        ("SchedulersService", 9),
    ];
    assert_eq!(services, expected);
}
