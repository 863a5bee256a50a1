//! What `proto/api/v1` declares, as reflection tells it.

use maestro_grpc::API_DESCRIPTORS;
use prost::Message;
use prost_types::FileDescriptorSet;

#[test]
fn the_descriptors_hold_the_three_services() {
    let set = FileDescriptorSet::decode(API_DESCRIPTORS).unwrap();
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
