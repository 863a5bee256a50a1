//! Orders as commands: everything that can be wrong with a message is refused here.

use maestro_core::domain::{ConfigPairs, ConfigRestart, SchedulerVersion};
use maestro_core::state::Command;

use crate::access_log::about_scheduler;
use crate::codec::messages::version::{Config, Request, Version};
use crate::service::names::names;
use crate::{ApiResult, Status};

/// What an order is about.
#[derive(Debug, PartialEq)]
pub struct Subject {
    pub scheduler: String,
    pub version: SchedulerVersion,
}

impl Subject {
    pub fn of(request: &Request) -> ApiResult<Self> {
        let Some(Version {
            name, namespace, ..
        }) = &request.version
        else {
            let text =
                "the request has no version: set its name, and as namespace that of its scheduler";
            return Err(Status::invalid_argument(text));
        };
        about_scheduler(namespace);
        names(namespace, name)?;
        Ok(Self {
            scheduler: namespace.clone(),
            version: SchedulerVersion::from(name.as_str()),
        })
    }
}

/// Images are compared with the stored version. No pairs at all leave the configuration as it is: most clients of the
/// K8s manager send them with the start, and ours may have set them before.
pub fn start(subject: &Subject, request: Request) -> ApiResult<Command> {
    let wanted = request.version.unwrap_or_default();
    let entrypoint = wanted.entrypoint.map(|entrypoint| entrypoint.image);
    let nodes = wanted.workflows.into_iter().flat_map(|flow| flow.nodes);
    let images = entrypoint.into_iter().chain(nodes.map(|node| node.image));
    let config = match wanted.config.is_empty() {
        true => None,
        false => Some(pairs(wanted.config)?),
    };
    Ok(Command::StartVersion {
        version: subject.version.clone(),
        images: images.filter(|image| !image.is_empty()).collect(),
        config,
    })
}

pub fn configure(subject: &Subject, request: Request) -> ApiResult<Command> {
    let restart = match request.restart.as_str() {
        "" | "rolling" => ConfigRestart::Rolling,
        "all" => ConfigRestart::All,
        "none" => ConfigRestart::None,
        other => {
            let text = format!("invalid restart {other:?}: it is rolling, all or none");
            return Err(Status::invalid_argument(text));
        }
    };
    Ok(Command::UpdateConfig {
        version: subject.version.clone(),
        config: pairs(request.version.unwrap_or_default().config)?,
        restart,
    })
}

fn pairs(config: Vec<Config>) -> ApiResult<ConfigPairs> {
    let pairs = config.into_iter().map(|pair| (pair.key, pair.value));
    ConfigPairs::new(pairs).map_err(Status::invalid_argument)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;
    use crate::codec::messages::version::{Entrypoint, Node, Workflow};

    fn request(config: &[(&str, &str)]) -> Request {
        let pair = |(key, value): &(&str, &str)| Config {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        Request {
            version: Some(Version {
                name: "v2.0.0".into(),
                namespace: "arena".into(),
                config: config.iter().map(pair).collect(),
                ..Version::default()
            }),
            ..Request::default()
        }
    }

    fn refused<T: std::fmt::Debug>(outcome: ApiResult<T>) -> String {
        let status = outcome.expect_err("it is refused");
        assert_eq!(status.code, Code::InvalidArgument);
        status.message
    }

    #[test]
    fn an_order_without_a_version_or_with_a_name_that_is_none_is_refused() {
        assert!(refused(Subject::of(&Request::default())).contains("has no version"));
        let mut wrong = request(&[]);
        wrong.version.as_mut().expect("one").name = "v2\"".into();
        assert!(refused(Subject::of(&wrong)).contains("name of a version"));
        let subject = Subject::of(&request(&[])).expect("a subject");
        assert_eq!(subject.version.as_str(), "v2.0.0");
    }

    #[test]
    fn a_start_compares_all_images_and_keeps_a_configuration_that_it_does_not_have() {
        let mut wanted = request(&[]);
        let subject = Subject::of(&wanted).expect("a subject");
        let version = wanted.version.as_mut().expect("one");
        version.entrypoint = Some(Entrypoint {
            image: "front".into(),
            ..Entrypoint::default()
        });
        let node = |image: &str| Node {
            image: image.into(),
            ..Node::default()
        };
        version.workflows = vec![Workflow {
            nodes: vec![node("game"), node("")],
            ..Workflow::default()
        }];
        match start(&subject, wanted) {
            Ok(Command::StartVersion { images, config, .. }) => {
                assert_eq!(images, ["front", "game"]);
                assert!(config.is_none());
            }
            other => panic!("{other:?}"),
        }
        match start(&subject, request(&[("A", "1")])) {
            Ok(Command::StartVersion { config, .. }) => {
                let config = config.expect("pairs");
                assert_eq!(config.iter().collect::<Vec<_>>(), [("A", "1")]);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_configuration_is_checked_and_its_restart_is_a_known_word() {
        let subject = Subject::of(&request(&[])).expect("a subject");
        let configured = |restart: &str, config: &[(&str, &str)]| {
            let request = Request {
                restart: restart.into(),
                ..request(config)
            };
            configure(&subject, request)
        };
        for (word, restart) in [
            ("", ConfigRestart::Rolling),
            ("rolling", ConfigRestart::Rolling),
            ("all", ConfigRestart::All),
            ("none", ConfigRestart::None),
        ] {
            match configured(word, &[]) {
                Ok(Command::UpdateConfig { restart: is, .. }) => assert_eq!(is, restart),
                other => panic!("{other:?}"),
            }
        }
        assert!(refused(configured("now", &[])).contains("rolling, all or none"));
        let secret = refused(configured("", &[("not a name", "secret")]));
        assert!(!secret.contains("secret"), "{secret}");
        let large = "v".repeat(100_000);
        let many: Vec<(String, &str)> = (0..11).map(|n| (format!("A{n}"), &*large)).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, *value)).collect();
        assert!(refused(configured("", &many)).contains("more than"));
    }
}
