//! The messages of [`maestro_api::codec`] on the wire: one declaration serves JSON and gRPC.

use std::marker::PhantomData;

use maestro_api::codec::{Message, from_wire, to_wire};
use prost::bytes::{Buf, BufMut};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// The codec that the generated services and clients of `api.v1` use.
#[derive(Debug)]
pub struct WireCodec<E, D>(PhantomData<(E, D)>);

impl<E, D> Default for WireCodec<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E: Message, D: Message> Codec for WireCodec<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = WireEncoder<E>;
    type Decoder = WireDecoder<D>;

    fn encoder(&mut self) -> Self::Encoder {
        WireEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        WireDecoder(PhantomData)
    }
}

/// Encodes messages.
#[derive(Debug)]
pub struct WireEncoder<E>(PhantomData<E>);

impl<E: Message> Encoder for WireEncoder<E> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, item: E, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put_slice(&to_wire(&item));
        Ok(())
    }
}

/// Decodes messages. A malformed message is the caller's mistake, as over HTTP.
#[derive(Debug)]
pub struct WireDecoder<D>(PhantomData<D>);

impl<D: Message> Decoder for WireDecoder<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        let bytes = buf.copy_to_bytes(buf.remaining());
        match from_wire(&bytes) {
            Ok(message) => Ok(Some(message)),
            Err(error) => Err(Status::invalid_argument(error.to_string())),
        }
    }
}
