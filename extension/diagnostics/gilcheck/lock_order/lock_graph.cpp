// lock_graph: a table of edges by both ends, and for each lock the lists of edges out and in.
#include "lock_graph.hpp"

#include "mixed.hpp"

#include <algorithm>
#include <atomic>
#include <bit>

namespace handoff::detail {

namespace {

/// The other held locks, the GIL first; of these an edge keeps as many as it has room for.
std::array<lock_gate, 6> gates_of(std::span<held_lock const> held, lock_number from,
                                  lock_number to) noexcept {
    std::array<lock_gate, 6> gates{};
    std::size_t count = 0;
    auto const add = [&](held_lock const& each) {
        if (each.lock != from && each.lock != to && count < gates.size()) {
            gates.at(count++) = each.lock << 1U | (each.is_shared ? 0U : 1U);
        }
    };
    for (held_lock const& each : held) {
        if (each.lock == number_of_gil) {
            add(each);
        }
    }
    for (held_lock const& each : held) {
        if (each.lock != number_of_gil) {
            add(each);
        }
    }
    return gates;
}

/// 0: the gate is not among them.
lock_gate find_lock(std::array<lock_gate, 6> const& gates, lock_gate gate) noexcept {
    auto const* const found =
        std::ranges::find_if(gates, [gate](lock_gate each) { return each >> 1U == gate >> 1U; });
    return gate == 0 || found == gates.end() ? 0 : *found;
}

/// A lock is kept as exclusive only if it was exclusive in both. Returns: whether one changed.
bool keep_only(std::array<lock_gate, 6>& gates, std::array<lock_gate, 6> const& also) noexcept {
    bool changed = false;
    for (lock_gate& each : gates) {
        lock_gate const other = find_lock(also, each);
        lock_gate const kept = other == 0 ? 0 : each & other;
        changed = changed || kept != each;
        each = kept;
    }
    return changed;
}

/// Whether a thread that holds all of one cannot hold all of the other at the same time.
bool exclude_each_other(std::array<lock_gate, 6> const& one,
                        std::array<lock_gate, 6> const& other) noexcept {
    return std::ranges::any_of(one, [&](lock_gate gate) {
        lock_gate const found = find_lock(other, gate);
        return found != 0 && ((found | gate) & 1U) != 0;
    });
}

bool add_thread(std::array<std::uint32_t, 2>& threads, std::uint32_t thread) noexcept {
    if (threads[0] == thread || threads[1] != 0) {
        return false;
    }
    threads.at(threads[0] == 0 ? 0 : 1) = thread;
    return true;
}

}  // namespace

lock_graph::lock_graph(std::size_t locks, std::size_t edges, bool (*is_there)(lock_seen const&))
    : is_there_(is_there),
      nodes_(locks),
      objects_(locks),
      edges_(edges),
      buckets_(std::bit_ceil(edges)) {
    nodes_[number_of_gil].kind = lock_kind::gil;
}

lock_number lock_graph::add(lock_kind kind, void const* object, bool (*in_use)(lock_number)) {
    lock_number made = 0;
    if (used_nodes_ < nodes_.size()) {
        made = used_nodes_++;
    } else {
        for (std::size_t tried = 0; made == 0 && tried < nodes_.size(); ++tried) {
            lock_number const next = next_node_to_give_up_;
            next_node_to_give_up_ = next + 1 < nodes_.size() ? next + 1 : number_of_gil + 1;
            if (!in_use(next)) {
                given_up_.locks = given_up_.locks || is_still_there(next);
                remove(next);
                made = next;
            }
        }
        if (made == 0) {
            return 0;
        }
    }
    node& its = nodes_[made];
    its.kind = kind;
    its.ignored = false;
    its.paired = false;
    objects_[made].store(object, std::memory_order_relaxed);
    return made;
}

void lock_graph::remove(lock_number lock) {
    node& its = nodes_[lock];
    while (its.first_out != 0) {
        unlink(its.first_out);
    }
    while (its.first_in != 0) {
        unlink(its.first_in);
    }
    its.kind = lock_kind::none;
    objects_[lock].store(nullptr, std::memory_order_relaxed);
}

bool lock_graph::is_still_there(lock_number lock) const {
    return nodes_[lock].kind != lock_kind::none && is_there_(seen(lock));
}

lock_seen lock_graph::seen(lock_number lock) const noexcept {
    return {.number = lock,
            .kind = nodes_[lock].kind,
            .object = objects_[lock].load(std::memory_order_relaxed)};
}

std::uint32_t& lock_graph::bucket(lock_number from, lock_number to) const noexcept {
    return buckets_[mixed(std::uint64_t{from} << 32U | to) & (buckets_.size() - 1)];
}

lock_graph::edge_index lock_graph::find(lock_number from, lock_number to) const noexcept {
    edge_index found = bucket(from, to);
    while (found != 0 && (edges_[found].from != from || edges_[found].to != to)) {
        found = edges_[found].next_in_bucket;
    }
    return found;
}

void lock_graph::unlink(edge_index gone) noexcept {
    lock_edge& edge = edges_[gone];
    (edge.previous_out != 0 ? edges_[edge.previous_out].next_out : nodes_[edge.from].first_out) =
        edge.next_out;
    if (edge.next_out != 0) {
        edges_[edge.next_out].previous_out = edge.previous_out;
    }
    (edge.previous_in != 0 ? edges_[edge.previous_in].next_in : nodes_[edge.to].first_in) =
        edge.next_in;
    if (edge.next_in != 0) {
        edges_[edge.next_in].previous_in = edge.previous_in;
    }
    edge_index* link = &bucket(edge.from, edge.to);
    while (*link != gone) {
        link = &edges_[*link].next_in_bucket;
    }
    *link = edge.next_in_bucket;
    edge = lock_edge{};
    edge.next_out = free_edges_;
    free_edges_ = gone;
}

/// Gives up a sixteenth of the edges, roughly the oldest first.
void lock_graph::give_up_edges() {
    ++epoch_;
    for (std::size_t each = 0; each < edges_.size() / 16; ++each) {
        edge_index const next = next_edge_to_give_up_;
        next_edge_to_give_up_ = next + 1 < edges_.size() ? next + 1 : 1;
        if (edges_[next].from != 0) {
            given_up_.edges = given_up_.edges || (is_still_there(edges_[next].from) &&
                                                  is_still_there(edges_[next].to));
            unlink(next);
        }
    }
}

lock_graph::edge_index lock_graph::make(lock_number from, lock_number to) {
    edge_index made = 0;
    if (free_edges_ == 0 && used_edges_ < edges_.size()) {
        made = used_edges_++;
    } else {
        if (free_edges_ == 0) {
            give_up_edges();
        }
        made = free_edges_;
        free_edges_ = edges_[made].next_out;
    }
    lock_edge& edge = edges_[made];
    edge = lock_edge{};
    edge.from = from;
    edge.to = to;
    edge.next_out = nodes_[from].first_out;
    edge.next_in = nodes_[to].first_in;
    if (edge.next_out != 0) {
        edges_[edge.next_out].previous_out = made;
    }
    if (edge.next_in != 0) {
        edges_[edge.next_in].previous_in = made;
    }
    nodes_[from].first_out = made;
    nodes_[to].first_in = made;
    edge_index& first = bucket(from, to);
    edge.next_in_bucket = first;
    first = made;
    return made;
}

bool lock_graph::is_new(want const& wanted) const noexcept {
    return std::ranges::any_of(wanted.held, [&](held_lock const& each) {
        return each.lock != wanted.lock && find(each.lock, wanted.lock) == 0;
    });
}

bool lock_graph::add(want const& wanted, acting_place const* place, lock_cycle& found) {
    bool is_cycle = false;
    for (held_lock const& each : wanted.held) {
        if (each.lock == wanted.lock) {
            continue;
        }
        edge_index index = find(each.lock, wanted.lock);
        if (index == 0 && place == nullptr) {
            continue;
        }
        auto const gates = gates_of(wanted.held, each.lock, wanted.lock);
        bool changed = index == 0;
        if (index == 0) {
            index = make(each.lock, wanted.lock);
            lock_edge& made = edges_[index];
            made.wanted = *place;
            made.held_since = each.since;
            made.predicted = wanted.predicted;
            made.gates = gates;
        } else {
            changed = keep_only(edges_[index].gates, gates);
        }
        lock_edge& edge = edges_[index];
        auto const now_as_well = [&changed](bool& flag, bool also) {
            changed = changed || (also && !flag);
            flag = flag || also;
        };
        now_as_well(edge.held_exclusively, !each.is_shared);
        now_as_well(edge.wanted_exclusively, !wanted.is_shared);
        changed = add_thread(edge.threads, wanted.thread) || changed;
        is_cycle = (changed && !is_cycle && find_cycle_with(index, found)) || is_cycle;
    }
    return is_cycle;
}

bool lock_graph::find_cycle_with(edge_index edge, lock_cycle& found) const {
    std::array<edge_index, lock_cycle::longest> path{};
    std::size_t length = 0;
    if (!search(edge, path, length)) {
        return false;
    }
    std::span<edge_index> const edges(path.data(), length);
    if (edges_[edge].to == number_of_gil) {
        std::ranges::reverse(edges);
    }
    found.count = length;
    for (std::size_t each = 0; each < length; ++each) {
        found.edges.at(each) = edges_[edges[each]];
        found.locks.at(each) = seen(edges_[edges[each]].from);
    }
    return true;
}

/// Searches what can be reached from the edge, each lock once, the nearest first, until an edge
/// leads back: so the cycle is a shortest one. If the edge leads to the GIL, which most edges
/// leave, the search goes backwards from the edge's beginning. If a lock can be reached in two
/// ways, only the first is tried. A search that reaches too many locks ends.
bool lock_graph::search(edge_index edge, std::array<edge_index, lock_cycle::longest>& path,
                        std::size_t& length) const {
    bool const backwards = edges_[edge].to == number_of_gil;
    lock_number const begin = backwards ? edges_[edge].to : edges_[edge].from;
    lock_number const first = backwards ? edges_[edge].from : edges_[edge].to;
    std::uint32_t const now = ++searches_;
    std::size_t count = 0;
    std::size_t looked_at = 0;
    auto const reach = [&](lock_number lock, edge_index by, std::uint32_t depth) {
        node& its = nodes_[lock];
        if (its.reached_in != now && lock != begin && count < most_reached) {
            its.reached_in = now;
            its.reached_by = by;
            its.depth = depth;
            reached_[count++] = lock;
        }
    };
    reach(first, edge, 1);
    for (std::size_t each = 0; each < count; ++each) {
        lock_number const lock = reached_[each];
        std::uint32_t const depth = nodes_[lock].depth;
        edge_index const last = backwards ? find(begin, lock) : find(lock, begin);
        if (last != 0) {
            length = depth + 1;
            path.at(depth) = last;
            lock_number at = lock;
            for (std::size_t place = depth; place-- > 0;) {
                path.at(place) = nodes_[at].reached_by;
                at = backwards ? edges_[path.at(place)].to : edges_[path.at(place)].from;
            }
            if (may_deadlock({path.data(), length})) {
                return true;
            }
        }
        if (lock == number_of_gil || depth + 1 >= lock_cycle::longest) {
            continue;  // the GIL's edges are too many to go through
        }
        for (edge_index next = backwards ? nodes_[lock].first_in : nodes_[lock].first_out;
             next != 0; next = backwards ? edges_[next].next_in : edges_[next].next_out) {
            if (++looked_at > 2 * most_reached) {
                given_up_.searches = true;
                return false;
            }
            reach(backwards ? edges_[next].from : edges_[next].to, next, depth + 1);
        }
    }
    return false;
}

bool lock_graph::may_deadlock(std::span<edge_index const> path) const noexcept {
    bool const backwards = edges_[path[0]].to == number_of_gil;
    bool several_threads = false;
    bool runs_once = false;
    std::uint32_t const thread = edges_[path[0]].threads[0];
    for (std::size_t each = 0; each < path.size(); ++each) {
        lock_edge const& edge = edges_[path[each]];
        std::size_t const next_one = (each + (backwards ? path.size() - 1 : 1)) % path.size();
        lock_edge const& next = edges_[path[next_one]];
        node const& lock = nodes_[edge.to];
        runs_once =
            runs_once || lock.kind == lock_kind::once_flag || lock.kind == lock_kind::static_guard;
        several_threads = several_threads || edge.threads[1] != 0 || edge.threads[0] != thread;
        if (lock.ignored ||
            ((lock.kind == lock_kind::semaphore || lock.kind == lock_kind::python_lock) &&
             !lock.paired) ||
            (!edge.wanted_exclusively && !next.held_exclusively)) {
            return false;
        }
        for (std::size_t other = 0; other < each; ++other) {
            if (exclude_each_other(edge.gates, edges_[path[other]].gates)) {
                return false;
            }
        }
    }
    return several_threads || runs_once;
}

}  // namespace handoff::detail
