//! The statements of ownership. Each is one round trip and one transaction.
//!
//! Rows of nodes are locked before those of owners, and owners by name, so that nodes do not wait for each other in a
//! circle. What frees or takes a scheduler tells so on the channel `maestro_owner`.

/// Keeps a session alive and answers for the schedulers that it holds: $8 and $9 are their names and epochs. $10 are
/// names of claims whose outcome is unknown; they are given back.
///
/// A session that has ended begins anew without its schedulers: another node may be taking them at this moment. While
/// it has not, nobody else can have taken any, so what this statement sees of them is true until the new end.
pub const RENEW: &str = "
WITH extended AS (
    UPDATE maestro_node SET expires_at = clock_timestamp() + make_interval(secs => $2)
    WHERE session = $1 AND expires_at > clock_timestamp()
    RETURNING session
), begun AS (
    INSERT INTO maestro_node (session, expires_at, name, address, hosts, draining, runtime_domain, version)
    SELECT $1, clock_timestamp() + make_interval(secs => $2), $3, $4, $5, FALSE, $6, $7
    WHERE NOT EXISTS (SELECT FROM extended)
    ON CONFLICT (session) DO UPDATE SET expires_at = excluded.expires_at
    RETURNING session
), swept AS (
    DELETE FROM maestro_node WHERE session IN (
        SELECT session FROM maestro_node
        WHERE expires_at < clock_timestamp() - interval '1 hour' AND session <> $1 AND EXISTS (SELECT FROM begun)
        FOR UPDATE SKIP LOCKED)
), lapsed AS (
    SELECT scheduler FROM maestro_owner
    WHERE session = $1 AND (EXISTS (SELECT FROM begun) OR scheduler = ANY($10))
    ORDER BY scheduler FOR UPDATE
), freed AS (
    UPDATE maestro_owner o SET session = NULL FROM lapsed l WHERE o.scheduler = l.scheduler AND o.session = $1
    RETURNING pg_notify('maestro_owner', json_build_object('scheduler', o.scheduler)::text)
)
SELECT EXISTS (SELECT FROM extended) AND o.scheduler IS NOT NULL
FROM unnest($8, $9) WITH ORDINALITY AS w (scheduler, epoch, place)
LEFT JOIN maestro_owner o ON o.scheduler = w.scheduler AND o.epoch = w.epoch AND o.session = $1
ORDER BY w.place";

/// Takes the schedulers $2 that nobody holds. Answers one row for each that was taken (with its seq) or is held by
/// another living session (with that and its address), and one without a name if the own session is alive. A name
/// without a row changed hands meanwhile and is asked for again.
///
/// The row of a session that seems to have ended is locked and looked at again, so that a renewal under way is waited
/// for. A session without a row cannot renew without giving its schedulers back.
pub const ACQUIRE: &str = "
WITH wanted AS (
    SELECT DISTINCT scheduler FROM unnest($2) AS w (scheduler)
), me AS (
    SELECT session FROM maestro_node WHERE session = $1 AND expires_at > clock_timestamp() FOR SHARE
), held AS MATERIALIZED (
    SELECT o.scheduler, o.session, o.epoch, n.address, n.session IS NULL AS is_gone,
           coalesce(n.expires_at > clock_timestamp(), FALSE) AS is_alive
    FROM wanted w JOIN maestro_owner o ON o.scheduler = w.scheduler
    LEFT JOIN maestro_node n ON n.session = o.session
    WHERE o.session <> $1
), ended AS (
    SELECT session FROM maestro_node
    WHERE session IN (SELECT session FROM held WHERE NOT is_alive) AND expires_at <= clock_timestamp()
    ORDER BY session FOR SHARE
), free AS (
    SELECT session FROM ended UNION SELECT session FROM held WHERE is_gone
), claimed AS (
    INSERT INTO maestro_owner AS o (scheduler, session, epoch, seq)
    SELECT w.scheduler, me.session, 1, 0
    FROM wanted w CROSS JOIN me CROSS JOIN (SELECT count(*) FROM ended) AS locked
    WHERE NOT EXISTS (SELECT FROM held h WHERE h.scheduler = w.scheduler AND h.is_alive)
    ORDER BY w.scheduler
    ON CONFLICT (scheduler) DO UPDATE SET session = excluded.session, epoch = o.epoch + 1
    WHERE o.session IS NULL OR o.session = $1 OR o.session IN (SELECT session FROM free)
    RETURNING o.scheduler, o.epoch, o.seq, pg_notify('maestro_owner', json_build_object(
        'scheduler', o.scheduler, 'session', o.session, 'address', $3, 'epoch', o.epoch)::text)
)
SELECT scheduler, epoch, seq, NULL::uuid, NULL::text FROM claimed
UNION ALL SELECT scheduler, epoch, NULL, session, address FROM held WHERE is_alive
UNION ALL SELECT NULL, NULL, NULL, session, NULL FROM me";

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

pub const OWNERS: &str = "
SELECT o.session, n.address, o.epoch, o.scheduler
FROM maestro_owner o JOIN maestro_node n ON n.session = o.session
WHERE n.expires_at > clock_timestamp() ORDER BY o.scheduler";

/// The holder of one scheduler, if it has one, and whether there is such a scheduler.
pub const OWNER: &str = "
SELECT n.session, n.address, o.epoch, EXISTS (SELECT FROM schedulers WHERE name = $1)
FROM (SELECT $1 AS name) AS asked
LEFT JOIN maestro_owner o ON o.scheduler = asked.name
LEFT JOIN maestro_node n ON n.session = o.session AND n.expires_at > clock_timestamp()";

pub const DISCOVER: &str = "SELECT name FROM schedulers ORDER BY name";
