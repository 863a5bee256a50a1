//! A foreign gRPC client: it knows only what reflection reports, and speaks proto-JSON to the tests.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::collections::BTreeMap;

use prost_reflect::prost::Message;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

pub struct GrpcClient {
    pub channel: Channel,
    /// The services that the server says it has.
    pub services: Vec<String>,
    pool: DescriptorPool,
}

impl GrpcClient {
    pub async fn connect(url: &str) -> Self {
        let endpoint = Channel::from_shared(url.to_owned()).expect("a URL");
        let channel = endpoint.connect().await.expect("it listens");
        let listed = ask(&channel, MessageRequest::ListServices(String::new())).await;
        let MessageResponse::ListServicesResponse(listed) = listed else {
            panic!("no list of services: {listed:?}");
        };
        let mut services: Vec<String> = listed.service.into_iter().map(|s| s.name).collect();
        services.sort_unstable();
        let mut files: BTreeMap<String, FileDescriptorProto> = BTreeMap::new();
        let mut wanted: Vec<MessageRequest> = services
            .iter()
            .map(|name| MessageRequest::FileContainingSymbol(name.clone()))
            .collect();
        while let Some(request) = wanted.pop() {
            let MessageResponse::FileDescriptorResponse(found) =
                ask(&channel, request.clone()).await
            else {
                panic!("no file for {request:?}");
            };
            for bytes in found.file_descriptor_proto {
                let file = FileDescriptorProto::decode(bytes.as_slice()).expect("a descriptor");
                let missing = file.dependency.iter().filter(|d| !files.contains_key(*d));
                wanted.extend(missing.cloned().map(MessageRequest::FileByFilename));
                files.insert(file.name().to_owned(), file);
            }
        }
        let mut pool = DescriptorPool::new();
        pool.add_file_descriptor_protos(files.into_values())
            .expect("descriptors that fit together");
        Self {
            channel,
            services,
            pool,
        }
    }

    /// Calls `Service/Method` of `api.v1`, or `package.Service/Method`, with proto-JSON. The answer shows unset fields
    /// too.
    pub async fn call(&self, method: &str, body: Value) -> Result<Value, Status> {
        Ok(self.send(method, body, &[]).await?.0)
    }

    /// Does the same with metadata; returns the metadata of the answer too.
    pub async fn send(
        &self,
        method: &str,
        body: Value,
        metadata: &[(&'static str, &str)],
    ) -> Result<(Value, tonic::metadata::MetadataMap), Status> {
        let (service, name) = method.split_once('/').expect("Service/Method");
        let service = match service.contains('.') {
            true => service.to_owned(),
            false => format!("api.v1.{service}"),
        };
        let service = self.pool.get_service_by_name(&service);
        let service = service.expect("a service");
        let method = service.methods().find(|m| m.name() == name);
        let method = method.expect("a method");
        let message = DynamicMessage::deserialize(method.input(), body).expect("a request");
        let mut request = Request::new(message);
        for (name, value) in metadata {
            let value = value.parse().expect("text");
            request.metadata_mut().insert(*name, value);
        }
        let path = format!("/{}/{name}", service.full_name());
        let answer = self.unary(request, &path, Dynamic(method.output())).await?;
        let metadata = answer.metadata().clone();
        let options = SerializeOptions::new().skip_default_fields(false);
        let answer = answer.into_inner();
        let json = answer.serialize_with_options(serde_json::value::Serializer, &options);
        Ok((json.expect("an answer"), metadata))
    }

    async fn unary<C>(
        &self,
        request: Request<C::Encode>,
        path: &str,
        codec: C,
    ) -> Result<Response<C::Decode>, Status>
    where
        C: Codec + Send + Sync + 'static,
        C::Encode: Send + Sync + 'static,
        C::Decode: Send + Sync + 'static,
    {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.expect("a connection");
        client
            .unary(request, path.parse().expect("a path"), codec)
            .await
    }
}

async fn ask(channel: &Channel, request: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(request),
    };
    let mut client = ServerReflectionClient::new(channel.clone());
    let asked = client.server_reflection_info(tokio_stream::once(request));
    let mut answers = asked.await.expect("reflection").into_inner();
    let answer = answers.message().await.expect("an answer");
    answer.and_then(|a| a.message_response).expect("a message")
}

/// Messages whose shape is known at run time only.
struct Dynamic(MessageDescriptor);

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(self.0.clone())
    }
    fn decoder(&mut self) -> Self {
        Self(self.0.clone())
    }
}

impl Encoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let written = item.encode(buf);
        written.map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let read = DynamicMessage::decode(self.0.clone(), buf);
        read.map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
