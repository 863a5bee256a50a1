//! Listing, reading and canceling operations (contract 2.4, 5.9; decisions D1, D7).

use std::sync::Arc;

use maestro_actors::CallError;
use maestro_core::domain::{Definition, OperationId, OperationRecord};
use maestro_core::ports::{OperationPage, Stage, StoreError};
use maestro_core::state::{Command, RefusalKind};

use super::listing::Listing;
use super::{ManagementService, operation_id, operation_not_found, scheduler_not_found};
use crate::codec::messages::{
    CancelOperationResponse, GetOperationResponse, ListOperationsRequest, ListOperationsResponse,
};
use crate::service::late::{Doing, in_time};
use crate::{ApiResult, Code, RequestContext, Status, convert};

/// How the original says that a stored operation has a status that is none (contract 15.14).
const UNCONVERTED: &str = "failed to convert operation entity to response";

impl ManagementService {
    pub(super) async fn operations(
        &self,
        context: &RequestContext,
        request: ListOperationsRequest,
    ) -> ApiResult<ListOperationsResponse> {
        let listing = Listing::parse(&request)?;
        let ListOperationsRequest {
            scheduler_name: name,
            stage,
            ..
        } = request;
        let unlisted = || Status::unknown(format!("error listing operations on {stage} stage"));
        in_time(context, Doing::Other).map_err(|_| unlisted())?;
        let catalog = self.node.catalog();
        let read = catalog.read_within(context.remaining(), move |reads| {
            Box::pin(async move { reads.operations(&name, listing.stage).await })
        });
        let page = match read.await {
            // As the original says it (contract 15.15).
            Err(CallError::Store(StoreError::Corrupt(cause)))
                if cause.to_string().starts_with(UNCONVERTED) =>
            {
                let text = format!("rpc error: code = Unknown desc = {cause}");
                return Err(Status::unknown(text));
            }
            Err(CallError::Store(error)) => {
                tracing::warn!(%error, stage, "operations cannot be listed");
                return Err(unlisted());
            }
            other => other?,
        };
        Ok(listed(page, listing))
    }

    async fn find(
        &self,
        context: &RequestContext,
        scheduler: &str,
        id: OperationId,
    ) -> ApiResult<Option<Arc<OperationRecord>>> {
        let name = scheduler.to_owned();
        self.read(context, move |reads| {
            Box::pin(async move { reads.operation(&name, id).await })
        })
        .await
    }

    pub(super) async fn operation(
        &self,
        context: &RequestContext,
        scheduler: &str,
        id: &str,
    ) -> ApiResult<GetOperationResponse> {
        let found = match operation_id(id) {
            Some(id) => self.find(context, scheduler, id).await?,
            None => None,
        };
        let record = found.ok_or_else(|| operation_not_found(id, scheduler))?;
        if let Definition::Unknown { name, contents } = &record.definition {
            readable(name, contents).map_err(Status::unknown)?;
        }
        Ok(GetOperationResponse {
            operation: Some(convert::operation(&record)),
        })
    }

    /// Cancels an operation. The owner knows the open operations. One that it does not know may have ended long ago or
    /// belong to a deleted scheduler, so the store is read.
    pub(super) async fn cancel(
        &self,
        context: &RequestContext,
        scheduler: &str,
        id: &str,
    ) -> ApiResult<CancelOperationResponse> {
        let name = scheduler.to_owned();
        let known = self.read(context, move |reads| {
            Box::pin(async move { reads.scheduler(&name).await })
        });
        // Operations may exist under such a name all the same: those that wait for the scheduler's creation, or remains
        // of a deleted one.
        if known.await?.is_none() {
            return Err(scheduler_not_found(scheduler));
        }
        let wanted = operation_id(id).ok_or_else(|| operation_not_found(id, scheduler))?;
        let command = Command::Cancel(wanted);
        let refusal = match self.node.ask(scheduler, command, context.remaining()).await {
            Ok(_) => return Ok(CancelOperationResponse {}),
            Err(CallError::Refused(refusal)) => refusal,
            Err(other) => return Err(other.into()),
        };
        if !matches!(refusal.kind, RefusalKind::Ended | RefusalKind::NotFound) {
            return Err(refusal.into());
        }
        match self.find(context, scheduler, wanted).await? {
            Some(record) if record.status.is_final() => {
                let message = format!(
                    "cannot cancel operation since status \"{}\" is a final status",
                    record.status.as_str()
                );
                Err(Status::new(Code::Aborted, message))
            }
            _ => Err(refusal.into()),
        }
    }
}

/// The original parses the input of the operation that it shows (contract 15.14).
fn readable(name: &str, contents: &str) -> Result<(), String> {
    match Definition::read_contents(name, contents) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(format!(
            "no definition constructor implemented for {name}: <nil>"
        )),
        Err(reason) => Err(format!(
            "failed to unmarshal definition: error marshalling {} operation definition: {reason}",
            name.replace('_', "-")
        )),
    }
}

/// Pages are cut by the time of the end, then each is sorted by the time of creation (contract 2.4).
fn listed(page: OperationPage, listing: Listing) -> ListOperationsResponse {
    let OperationPage {
        total,
        operations: mut records,
    } = page;
    records.sort_by_key(|record| record.created_at);
    if !listing.ascending {
        records.reverse();
    }
    let whole = u32::try_from(total).unwrap_or(u32::MAX);
    let (number, size) = listing.page.unwrap_or((1, whole));
    ListOperationsResponse {
        page: Some(number),
        page_size: Some(size),
        total: Some(whole),
        operations: convert::operation_items(&records, listing.stage == Stage::Active),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_cannot_be_read_is_said_in_the_words_of_the_original() {
        let refused = readable("add_rooms", "{").unwrap_err();
        let words =
            "failed to unmarshal definition: error marshalling add-rooms operation definition: ";
        assert!(refused.starts_with(words), "{refused}");
        let unknown = readable("no_such_operation", "{}").unwrap_err();
        let words = "no definition constructor implemented for no_such_operation: ";
        assert!(unknown.starts_with(words), "{unknown}");
        assert_eq!(readable("add_rooms", "null"), Ok(()));
    }
}
