//! Parameters of a listing of operations, checked in the contract's order: order, pages, stage (contract 2.4, 15.16).

use maestro_core::ports::Stage;

use crate::Status;
use crate::codec::messages::ListOperationsRequest;

const PAGE_SIZE_DEFAULT: u32 = 15;
const PAGE_SIZE_MAX: u32 = 100;
const SORTING_FIELD: &str = "createdAt";

/// A valid listing, ready to be read from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    pub stage: Stage,
    pub ascending: bool,
    /// Number and size of the page; only the stage `final` is paged.
    pub page: Option<(u32, u32)>,
}

impl Listing {
    pub fn parse(request: &ListOperationsRequest) -> Result<Self, Status> {
        Self::checked(request).map_err(Status::invalid_argument)
    }

    fn checked(request: &ListOperationsRequest) -> Result<Self, String> {
        let ascending = ascending(&request.order_by)?;
        let (page, size) = page(request)?;
        let (stage, page) = match request.stage.as_str() {
            "pending" => (Stage::Pending, None),
            "active" => (Stage::Active, None),
            "final" => {
                let stage = Stage::Final {
                    offset: u64::from(page - 1) * u64::from(size),
                    limit: u64::from(size),
                    ascending,
                };
                (stage, Some((page, size)))
            }
            other => return Err(format!("invalid stage filter: {other}")),
        };
        Ok(Self {
            stage,
            ascending,
            page,
        })
    }
}

/// Parses the direction of `createdAt [asc|desc]`.
fn ascending(order_by: &str) -> Result<bool, String> {
    let words: Vec<&str> = order_by.split_whitespace().collect();
    if words.len() > 2 {
        return Err("invalid sorting parameters number".to_owned());
    }
    if let Some(field) = words.first().filter(|field| **field != SORTING_FIELD) {
        return Err(format!("invalid sorting field: {field}"));
    }
    match words.get(1) {
        None | Some(&"desc") => Ok(false),
        Some(&"asc") => Ok(true),
        Some(other) => Err(format!("invalid sorting order: {other}")),
    }
}

/// Number (from 1) and size of the page.
fn page(request: &ListOperationsRequest) -> Result<(u32, u32), String> {
    let page = request.page.unwrap_or(1);
    let size = request.per_page.unwrap_or(PAGE_SIZE_DEFAULT);
    if page == 0 {
        return Err("page must be greater than 0".to_owned());
    }
    if !(1..=PAGE_SIZE_MAX).contains(&size) {
        return Err(format!("page size must be between 0 and {PAGE_SIZE_MAX}"));
    }
    let paged = request.page.is_some() || request.per_page.is_some();
    if paged && request.stage != "final" {
        return Err(format!(
            "there is no pagination filter implemented for {} stage",
            request.stage
        ));
    }
    Ok((page, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(order_by: &str, stage: &str) -> ListOperationsRequest {
        ListOperationsRequest {
            order_by: order_by.into(),
            stage: stage.into(),
            ..ListOperationsRequest::default()
        }
    }

    #[test]
    fn the_order_is_checked_before_the_page_and_the_page_before_the_stage() {
        let all_wrong = ListOperationsRequest {
            page: Some(0),
            per_page: Some(101),
            ..request("id", "no")
        };
        let fixed = [
            ListOperationsRequest {
                order_by: String::new(),
                ..all_wrong.clone()
            },
            ListOperationsRequest {
                page: Some(1),
                ..request("", "no")
            },
            request("", "no"),
        ];
        let message = |r: &ListOperationsRequest| Listing::checked(r).unwrap_err();
        assert_eq!(message(&all_wrong), "invalid sorting field: id");
        assert_eq!(message(&fixed[0]), "page must be greater than 0");
        assert_eq!(
            message(&fixed[1]),
            "there is no pagination filter implemented for no stage"
        );
        assert_eq!(message(&fixed[2]), "invalid stage filter: no");
    }

    #[test]
    fn a_page_is_a_window_of_the_history() {
        let asked = ListOperationsRequest {
            page: Some(u32::MAX),
            per_page: Some(100),
            ..request("createdAt   asc", "final")
        };
        let listing = Listing::checked(&asked).unwrap();
        let stage = Stage::Final {
            offset: (u64::from(u32::MAX) - 1) * 100,
            limit: 100,
            ascending: true,
        };
        assert_eq!(
            (listing.stage, listing.page),
            (stage, Some((u32::MAX, 100)))
        );
        let plain = Listing::checked(&request("", "active")).unwrap();
        assert_eq!((plain.stage, plain.page), (Stage::Active, None));
        assert!(!plain.ascending);
    }
}
