//! The shares of members, and the plans of one node.

use super::*;
use proptest::prelude::*;

const LEASE: Duration = Duration::from_secs(3);

fn member(number: u128) -> Member {
    Member {
        session: Uuid::from_u128(number),
        name: format!("host-{number}"),
        address: format!("10.0.0.{number}:8065"),
        hosts: true,
        draining: false,
        runtime_domain: "zone".into(),
        version: "1".into(),
    }
}

fn members(count: u128) -> Vec<Member> {
    (1..=count).map(member).collect()
}

fn names(count: usize) -> Vec<SchedulerName> {
    (0..count).map(|n| format!("fleet-{n}").into()).collect()
}

fn session_of(name: &SchedulerName, members: &[Member]) -> Uuid {
    target(name, members).unwrap().session
}

fn at(seconds: u64) -> Mono {
    Mono(Duration::from_secs(seconds))
}

/// A round of the node with the number 1.
fn round(
    placement: &mut Placement,
    seconds: u64,
    members: &[Member],
    mine: &[SchedulerName],
    free: &[SchedulerName],
) -> Plan {
    placement.plan(&Situation {
        now: at(seconds),
        me: Uuid::from_u128(1),
        members,
        mine,
        free,
        leaves_rooms: false,
    })
}

/// The names for which the node with the number 1 has this rank.
fn ranked(rank: usize, members: &[Member], names: &[SchedulerName]) -> Vec<SchedulerName> {
    let own = |name: &SchedulerName| weight(&member(1), name);
    let rank_of = |name: &SchedulerName| {
        let higher = |m: &&Member| weight(m, name) > own(name);
        members.iter().filter(higher).count()
    };
    let names = names.iter().filter(|name| rank_of(name) == rank);
    names.cloned().collect()
}

#[test]
fn all_versions_of_the_program_agree_on_the_hash() {
    let hashes = ["", "a", "fleet-1"].map(|text| hash(text.bytes()));
    assert_eq!(
        hashes,
        [
            0xefd0_1f60_ba99_2926,
            0x82a2_a958_a9be_ce5b,
            0x1ec4_bb3b_3a67_196f
        ]
    );
}

#[test]
fn only_members_that_host_and_do_not_drain_have_a_share() {
    let mut all = members(3);
    all[0].draining = true;
    all[1].hosts = false;
    for name in names(50) {
        assert_eq!(session_of(&name, &all), all[2].session);
    }
    all[2].draining = true;
    assert_eq!(target(&"arena".into(), &all), None);
    assert_eq!(target(&"arena".into(), &[]), None);
}

#[test]
fn shares_are_about_equal_and_a_restart_under_the_same_name_keeps_its_own() {
    let mut all = members(10);
    let names = names(10_000);
    let before: Vec<_> = names.iter().map(|n| session_of(n, &all)).collect();
    for member in &all {
        let share = before.iter().filter(|s| **s == member.session).count();
        assert!((900..1_100).contains(&share), "{}: {share}", member.name);
    }
    let (old, new) = (all[4].session, Uuid::from_u128(77));
    all[4].session = new;
    all.rotate_left(3);
    for (name, before) in names.iter().zip(before) {
        let expected = if before == old { new } else { before };
        assert_eq!(session_of(name, &all), expected);
    }
}

#[test]
fn members_with_the_same_name_and_address_share() {
    let mut all = members(2);
    all[1] = Member {
        session: all[1].session,
        ..all[0].clone()
    };
    let names = names(1_000);
    let first = names
        .iter()
        .filter(|n| session_of(n, &all) == all[0].session);
    assert!((420..580).contains(&first.count()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_member_that_joins_or_leaves_moves_its_own_share_only(
        count in 1..20u128,
        joins in 100..200u128,
        salt in "[a-z]{1,8}",
    ) {
        let few = members(count);
        let mut many = few.clone();
        many.push(member(joins));
        let mut moved = 0;
        for number in 0..500 {
            let name = SchedulerName::from(format!("{salt}-{number}"));
            let (before, after) = (session_of(&name, &few), session_of(&name, &many));
            if before != after {
                prop_assert_eq!(after, Uuid::from_u128(joins));
                moved += 1;
            }
        }
        let fair = 500 / (count as usize + 1);
        prop_assert!(moved <= fair * 2 + 10 && moved * 2 + 10 >= fair, "{} of 500, {}", moved, fair);
    }

    #[test]
    fn a_free_scheduler_is_acquired_by_exactly_one_member_at_once(
        count in 1..12u128,
        drains in proptest::collection::vec(any::<bool>(), 12),
    ) {
        let mut all = members(count);
        all.iter_mut().zip(drains).for_each(|(member, drains)| member.draining = drains);
        let free = names(40);
        let mut acquired = Vec::new();
        for me in &all {
            let plan = Placement::new(LEASE).plan(&Situation {
                now: at(1),
                me: me.session,
                members: &all,
                mine: &[],
                free: &free,
                leaves_rooms: false,
            });
            acquired.extend(plan.acquire);
        }
        acquired.sort();
        let mut expected = free;
        expected.sort();
        if all.iter().all(|m| m.draining) {
            expected.clear();
        }
        prop_assert_eq!(acquired, expected);
    }
}

#[test]
fn a_round_acquires_no_more_than_its_bound_and_says_that_there_is_more() {
    let mut placement = Placement::new(LEASE);
    let free = names(ACQUIRE_MOST + 1);
    let plan = round(&mut placement, 1, &members(1), &[], &free);
    assert_eq!(plan.acquire, free[..ACQUIRE_MOST]);
    assert!(plan.more);
    let rest = &free[ACQUIRE_MOST..];
    let plan = round(&mut placement, 2, &members(1), &free[..ACQUIRE_MOST], rest);
    assert_eq!((plan.acquire.as_slice(), plan.more), (rest, false));
    assert_eq!(plan.hand_over, []);
}

#[test]
fn what_its_target_leaves_free_is_taken_by_the_next_in_rank_after_two_leases() {
    let all = members(3);
    let names = names(60);
    let [first, second, third] = [0, 1, 2].map(|rank| ranked(rank, &all, &names));
    let mut placement = Placement::new(LEASE);
    let mut acquired = |seconds, free: &[SchedulerName]| {
        let plan = round(&mut placement, seconds, &all, &[], free);
        plan.acquire
    };
    assert_eq!(acquired(100, &names), first);
    let left: Vec<_> = second.iter().chain(&third).cloned().collect();
    assert_eq!(acquired(105, &left), []);
    assert_eq!(acquired(106, &left), second);
    assert_eq!(acquired(111, &left), second);
    assert_eq!(acquired(112, &left).len(), left.len());
    // One that had an owner in between is left to its target again.
    assert_eq!(acquired(113, &third), third);
    assert_eq!(acquired(114, &[]), []);
    assert_eq!(acquired(115, &left), []);
}

#[test]
fn a_node_that_is_no_living_host_plans_nothing() {
    let names = names(20);
    let mut all = members(2);
    let mut placement = Placement::new(LEASE);
    all[0].hosts = false;
    assert_eq!(
        round(&mut placement, 1, &all, &names, &names),
        Plan::default()
    );
    assert_eq!(
        round(&mut placement, 9, &all[1..], &names, &names),
        Plan::default()
    );
}

#[test]
fn schedulers_are_handed_over_to_a_member_that_has_lived_for_a_lease() {
    let all = members(2);
    let names = names(200);
    let mut placement = Placement::new(LEASE);
    let mut handed_over = |seconds, members: &[Member]| {
        round(&mut placement, seconds, members, &names, &[]).hand_over
    };
    assert_eq!(handed_over(1, &all[..1]), []);
    assert_eq!(handed_over(10, &all), []);
    assert_eq!(handed_over(12, &all), []);
    let leaving = ranked(1, &all, &names);
    assert_eq!(handed_over(13, &all), leaving[..HAND_OVER_MOST]);
    assert_eq!(handed_over(13, &all), [], "a round that follows at once");
    // One that was away for a round has to prove itself again.
    assert_eq!(handed_over(14, &all[..1]), []);
    assert_eq!(handed_over(15, &all), []);
    assert_eq!(handed_over(18, &all).len(), HAND_OVER_MOST);
}

#[test]
fn many_nodes_together_hand_over_no_more_than_one_can_acquire() {
    for (count, each) in [(2, 16), (7, 16), (21, 5), (150, 1)] {
        let all = members(count);
        let mut placement = Placement::new(LEASE);
        let names = names(1_000);
        round(&mut placement, 1, &all, &names, &[]);
        let plan = round(&mut placement, 4, &all, &names, &[]);
        assert_eq!(plan.hand_over.len(), each, "{count} members");
    }
}

#[test]
fn a_draining_node_acquires_nothing_and_hands_over_everything() {
    let mut all = members(30);
    all[0].draining = true;
    let mut placement = Placement::new(LEASE);
    let mut mine = names(100);
    let free = ["other".into()];
    round(&mut placement, 1, &all, &mine, &free);
    for (rounds, left) in [84, 68, 52, 36, 20, 4, 0].into_iter().enumerate() {
        let plan = round(&mut placement, 100 + rounds as u64, &all, &mine, &free);
        assert_eq!(plan.acquire, []);
        mine.retain(|name| !plan.hand_over.contains(name));
        assert_eq!(mine.len(), left);
    }
    // The last one that is left keeps what it has.
    let mine = names(3);
    round(&mut placement, 200, &all[..1], &mine, &[]);
    assert_eq!(
        round(&mut placement, 300, &all[..1], &mine, &[]),
        Plan::default()
    );
}

#[test]
fn rooms_stay_within_their_runtime_domain() {
    let mut all = members(2);
    all[1].runtime_domain = "elsewhere".into();
    let names = names(20);
    let mut placement = Placement::new(LEASE);
    round(&mut placement, 1, &all, &names, &[]);
    assert_eq!(round(&mut placement, 9, &all, &names, &[]).hand_over, []);
    // Without a living owner they are lost anyway.
    assert_eq!(
        round(&mut placement, 99, &all, &[], &names).acquire,
        ranked(0, &all, &names)
    );
}

#[test]
fn nothing_is_handed_over_to_a_member_that_did_not_take_it_the_last_time() {
    let all = members(2);
    let name = ranked(1, &all, &names(20)).remove(0);
    let one = [name];
    let mut placement = Placement::new(LEASE);
    let mut now = 0;
    for doubled in [1, 2, 4, 8, 16, 32, 64, 64] {
        assert_eq!(round(&mut placement, now, &all, &[], &one), Plan::default());
        assert_eq!(round(&mut placement, now + 6, &all, &[], &one).acquire, one);
        now += 6 + 60 * doubled;
        assert_eq!(
            round(&mut placement, now - 1, &all, &one, &[]),
            Plan::default()
        );
        assert_eq!(round(&mut placement, now, &all, &one, &[]).hand_over, one);
    }
    // Another session under the same name gets its chance.
    round(&mut placement, now, &all, &[], &one);
    round(&mut placement, now + 6, &all, &[], &one);
    let mut restarted = all.clone();
    restarted[1].session = Uuid::from_u128(9);
    assert_eq!(
        round(&mut placement, now + 7, &restarted, &one, &[]).hand_over,
        []
    );
    assert_eq!(
        round(&mut placement, now + 10, &restarted, &one, &[]).hand_over,
        one
    );
    // So does one that took it in between.
    assert_eq!(
        round(&mut placement, now + 11, &all, &[], &[]),
        Plan::default()
    );
    assert_eq!(
        round(&mut placement, now + 14, &all, &one, &[]).hand_over,
        one
    );
}
