//! The statements of ownership. Each is one round trip and one transaction.
//!
//! Rows of nodes are locked before those of owners, and owners by name, so that nodes do not wait for each other in a
//! circle. What frees or takes a scheduler tells so on the channel `maestro_owner`.

/// A count of owners as it is stored. What no Maestro has counted (no number, or one beyond what Redis can compare) is
/// taken for the milliseconds since 1970: no former owner had as many before it, and so none is let in again.
macro_rules! count_of {
    ($stored:literal) => {
        concat!(
            "CASE WHEN ",
            $stored,
            " ~ '^[0-9]{1,15}$' THEN (",
            $stored,
            ")::bigint ELSE (extract(epoch FROM clock_timestamp()) * 1000)::bigint END"
        )
    };
}
pub(crate) use count_of;

/// Keeps a session alive and answers for the schedulers that it holds; $8 and $9 are their names and epochs. $10: the
/// process is drained, which a session that begins anew has to say again.
///
/// Whoever takes schedulers of a session that has ended deletes it first ([`ACQUIRE`]). So one that has ended and is
/// still there goes on with all that it held. Its end was most likely this database's fault, which did not answer, so
/// sessions that ended when it did are extended too: nodes that live renew them within that time, and their
/// schedulers, with rooms that perhaps nobody else can see, stay where they are. A row that is locked is being
/// renewed or deleted.
///
/// An end that is further off than any session lasts, such as `infinity`, is no node's: it becomes that of a renewal,
/// so that a node which lives sets its own and one that does not loses its schedulers.
///
/// A session that was deleted begins anew ($11) without its schedulers: another node may be taking them at this moment.
/// What this statement sees of the others is true until their new end. Usually it is not let begin: the network may
/// hold a renewal up until its node has left, and that would bring the node back.
///
/// The first column of each row says whether the session lives. Without schedulers there is one row.
pub const RENEW: &str = "
WITH extended AS (
    UPDATE maestro_node n SET expires_at = clock_timestamp() + make_interval(secs => $2)
    FROM (SELECT session, expires_at AS ended_at FROM maestro_node WHERE session = $1 FOR UPDATE) AS mine
    WHERE n.session = mine.session
    RETURNING n.session, mine.ended_at
), lapsed_too AS (
    SELECT o.session FROM maestro_node o JOIN extended e ON o.session <> e.session
    WHERE (e.ended_at <= clock_timestamp() AND o.expires_at <= clock_timestamp()
            AND o.expires_at > e.ended_at - make_interval(secs => $2))
        OR o.expires_at > clock_timestamp() + interval '1 hour'
    FOR UPDATE OF o SKIP LOCKED
), spared AS (
    UPDATE maestro_node n SET expires_at = clock_timestamp() + make_interval(secs => $2)
    FROM lapsed_too l WHERE n.session = l.session
), begun AS (
    INSERT INTO maestro_node (session, expires_at, name, address, hosts, draining, runtime_domain, version)
    SELECT $1, clock_timestamp() + make_interval(secs => $2), $3, $4, $5, $10, $6, $7
    WHERE $11 AND NOT EXISTS (SELECT FROM extended)
    ON CONFLICT (session) DO UPDATE SET expires_at = excluded.expires_at
    RETURNING session
), swept AS (
    DELETE FROM maestro_node WHERE session IN (
        SELECT n.session FROM maestro_node n
        WHERE n.expires_at < clock_timestamp() - interval '1 hour' AND n.session <> $1 AND EXISTS (SELECT FROM begun)
            AND NOT EXISTS (SELECT FROM maestro_owner o WHERE o.session = n.session)
        FOR UPDATE SKIP LOCKED)
), orphaned AS (
    SELECT scheduler FROM maestro_owner
    WHERE session = $1 AND EXISTS (SELECT FROM begun)
    ORDER BY scheduler FOR UPDATE
), freed AS (
    UPDATE maestro_owner o SET session = NULL FROM orphaned l WHERE o.scheduler = l.scheduler AND o.session = $1
    RETURNING pg_notify('maestro_owner', json_build_object('scheduler', o.scheduler)::text)
)
SELECT l.lives, EXISTS (SELECT FROM extended) AND o.scheduler IS NOT NULL
FROM (SELECT EXISTS (SELECT FROM extended) OR EXISTS (SELECT FROM begun) AS lives) l
LEFT JOIN unnest($8, $9) WITH ORDINALITY AS w (scheduler, epoch, place) ON TRUE
LEFT JOIN maestro_owner o ON o.scheduler = w.scheduler AND o.epoch = w.epoch AND o.session = $1
ORDER BY w.place";

/// Takes the schedulers $2 that nobody holds. Answers one row for each name: its seq if it was taken, otherwise the
/// session
/// that was seen as its owner, and whether asking again may help. Without any row, the own session has ended.
///
/// The own session is extended: the owner counts its lease from this call. A session that has ended is deleted; a
/// renewal
/// of it under way is waited for, and one that comes later finds no row. What is committed while this runs is not seen,
/// so a row is taken only as it was seen. A row that is locked, such as by an owner that was stopped in the middle of a
/// commit, is passed over: this keeps the own session locked, and nothing may hold up its renewal.
pub const ACQUIRE: &str = concat!(
    "
WITH me AS (
    UPDATE maestro_node SET expires_at = clock_timestamp() + make_interval(secs => $4)
    WHERE session = $1 AND expires_at > clock_timestamp()
    RETURNING session
), ended AS (
    DELETE FROM maestro_node WHERE session IN (
        SELECT session FROM maestro_node WHERE session <> $1 AND expires_at <= clock_timestamp()
            AND EXISTS (SELECT FROM me)
        ORDER BY session FOR UPDATE)
    RETURNING session
), seen AS MATERIALIZED (
    SELECT w.scheduler, o.scheduler IS NULL AS is_new, o.session, o.epoch, n.address,
        o.session IS NULL OR o.session = $1 OR n.session IS NULL
            OR o.session IN (SELECT session FROM ended) AS is_free,
        coalesce(n.expires_at > clock_timestamp(), FALSE) AS is_alive
    FROM me CROSS JOIN (SELECT DISTINCT scheduler FROM unnest($2) AS w (scheduler)) w
    LEFT JOIN maestro_owner o ON o.scheduler = w.scheduler
    LEFT JOIN maestro_node n ON n.session = o.session
), locked AS MATERIALIZED (
    SELECT o.scheduler FROM maestro_owner o JOIN seen s ON s.scheduler = o.scheduler
    WHERE s.is_free AND s.epoch = o.epoch AND s.session IS NOT DISTINCT FROM o.session
    FOR UPDATE OF o SKIP LOCKED
), taken AS (
    UPDATE maestro_owner o SET session = $1, epoch = 1 + ",
    count_of!("o.epoch::text"),
    "
    FROM locked l WHERE o.scheduler = l.scheduler
    RETURNING o.scheduler, o.epoch, o.seq
), made AS (
    INSERT INTO maestro_owner (scheduler, session, epoch, seq)
    SELECT scheduler, $1, 1 + coalesce((SELECT ",
    count_of!("value"),
    " FROM maestro_setting WHERE key = 'epochs'), 0), 0
    FROM seen WHERE is_new ORDER BY scheduler
    ON CONFLICT (scheduler) DO NOTHING
    RETURNING scheduler, epoch, seq
), claimed AS (
    SELECT * FROM taken UNION ALL SELECT * FROM made
)
SELECT s.scheduler, coalesce(c.epoch, s.epoch, 0), c.seq,
    coalesce(s.session, '00000000-0000-0000-0000-000000000000'), coalesce(s.address, ''),
    c.epoch IS NULL AND (s.is_free OR NOT s.is_alive),
    CASE WHEN c.epoch IS NOT NULL THEN pg_notify('maestro_owner', json_build_object(
        'scheduler', s.scheduler, 'session', $1::uuid, 'address', $3::text, 'epoch', c.epoch)::text)::text END
FROM seen s LEFT JOIN claimed c ON c.scheduler = s.scheduler"
);

/// Those of the schedulers $2 that the session has, and their epochs.
pub const MINE: &str = "
SELECT scheduler, epoch FROM maestro_owner WHERE session = $1 AND scheduler = ANY($2)";

/// Gives back the schedulers $2 that are held at the epochs $3.
pub const RELEASE: &str = "
WITH mine AS (
    SELECT o.scheduler, o.epoch FROM maestro_owner o
    JOIN unnest($2, $3) AS w (scheduler, epoch) ON o.scheduler = w.scheduler AND o.epoch = w.epoch
    WHERE o.session = $1
    ORDER BY o.scheduler FOR UPDATE OF o
)
UPDATE maestro_owner o SET session = NULL FROM mine m
WHERE o.scheduler = m.scheduler AND o.epoch = m.epoch AND o.session = $1
RETURNING pg_notify('maestro_owner', json_build_object('scheduler', o.scheduler)::text)";

/// Ends a session, and gives back all that it holds.
pub const LEAVE: &str = "
WITH ended AS (
    DELETE FROM maestro_node WHERE session = $1 RETURNING session
), mine AS (
    SELECT o.scheduler FROM maestro_owner o CROSS JOIN (SELECT count(*) FROM ended) AS locked
    WHERE o.session = $1
    ORDER BY o.scheduler FOR UPDATE OF o
)
UPDATE maestro_owner o SET session = NULL FROM mine m WHERE o.scheduler = m.scheduler AND o.session = $1
RETURNING pg_notify('maestro_owner', json_build_object('scheduler', o.scheduler)::text)";

pub const DRAIN: &str = "
UPDATE maestro_node SET draining = $2 WHERE session = $1 AND expires_at > clock_timestamp() RETURNING session";

pub const MEMBERS: &str = "
SELECT session, name, address, hosts, draining, runtime_domain, version FROM maestro_node
WHERE expires_at > clock_timestamp() ORDER BY session";

/// As [`MEMBERS`], with the seconds that each session has left, and how many schedulers it owns. From an end that is
/// infinite nothing can be subtracted.
pub const STANDINGS: &str = "
SELECT session, name, address, hosts, draining, runtime_domain, version,
    extract(epoch FROM least(expires_at, clock_timestamp() + interval '1 hour') - clock_timestamp())::float8,
    (SELECT count(*) FROM maestro_owner o WHERE o.session = n.session)
FROM maestro_node n WHERE expires_at > clock_timestamp() ORDER BY session";

/// How many of the names that [`DISCOVER`] finds have no owner.
pub const UNOWNED: &str = "
SELECT count(*) FROM (SELECT name FROM schedulers UNION SELECT scheduler FROM maestro_runtime) s WHERE NOT EXISTS (
    SELECT FROM maestro_owner o JOIN maestro_node n ON n.session = o.session
    WHERE o.scheduler = s.name AND n.expires_at > clock_timestamp())";

/// How many batches wait to be written to Redis, and for how many seconds the oldest.
pub const OUTBOX: &str = "
SELECT count(*), extract(epoch FROM clock_timestamp() - min(written_at))::float8 FROM maestro_outbox";

pub const OWNERS: &str = "
SELECT o.session, n.address, o.epoch, o.scheduler
FROM maestro_owner o JOIN maestro_node n ON n.session = o.session
WHERE n.expires_at > clock_timestamp() ORDER BY o.scheduler";

pub const OWNED: &str = "SELECT scheduler, epoch FROM maestro_owner WHERE session = $1";

pub const EPOCH: &str = "SELECT epoch FROM maestro_owner WHERE scheduler = $1";

/// The holder of one scheduler, if it has one, and whether there is such a scheduler or runtime.
pub const OWNER: &str = "
SELECT n.session, n.address, o.epoch, EXISTS (SELECT FROM schedulers WHERE name = $1)
    OR EXISTS (SELECT FROM maestro_runtime WHERE scheduler = $1)
FROM (SELECT $1 AS name) AS asked
LEFT JOIN maestro_owner o ON o.scheduler = asked.name
LEFT JOIN maestro_node n ON n.session = o.session AND n.expires_at > clock_timestamp()";

pub const DISCOVER: &str =
    "SELECT name FROM schedulers UNION SELECT scheduler FROM maestro_runtime ORDER BY 1";
