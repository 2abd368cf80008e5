// lock_graph: a table of edges by both ends, and for each lock the lists of what goes out and in.
#include "lock_graph.hpp"

#include <algorithm>
#include <atomic>
#include <bit>

namespace handoff::detail {

namespace {

/// The other locks that are held exclusively, the GIL first: of these an edge keeps as many as it
/// has room for.
std::array<lock_number, 6> gates_of(std::span<held_lock const> held, lock_number from,
                                    lock_number to) noexcept {
    std::array<lock_number, 6> gates{};
    std::size_t count = 0;
    auto const add = [&](held_lock const& each) {
        if (!each.is_shared && each.lock != from && each.lock != to && count < gates.size()) {
            gates.at(count++) = each.lock;
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

bool contains(std::array<lock_number, 6> const& gates, lock_number lock) noexcept {
    return lock != 0 && std::ranges::find(gates, lock) != gates.end();
}

/// Returns: whether one went.
bool keep_only(std::array<lock_number, 6>& gates, std::array<lock_number, 6> const& also) noexcept {
    auto const gone = std::ranges::remove_if(
        gates, [&](lock_number each) { return each != 0 && !contains(also, each); });
    bool const some = !gone.empty();
    std::ranges::fill(gone, 0);
    return some;
}

bool add_thread(std::array<std::uint32_t, 2>& threads, std::uint32_t thread) noexcept {
    if (threads[0] == thread || threads[1] != 0) {
        return false;
    }
    threads.at(threads[0] == 0 ? 0 : 1) = thread;
    return true;
}

}  // namespace

lock_graph::lock_graph(std::size_t locks, std::size_t edges)
    : nodes_(locks), objects_(locks), edges_(edges), buckets_(std::bit_ceil(edges)) {
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
                given_up_ += nodes_[next].kind == lock_kind::none ? 0 : 1;
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

lock_seen lock_graph::seen(lock_number lock) const noexcept {
    return {.number = lock,
            .kind = nodes_[lock].kind,
            .object = objects_[lock].load(std::memory_order_relaxed)};
}

std::uint32_t& lock_graph::bucket(lock_number from, lock_number to) const noexcept {
    std::uint64_t const mixed = (std::uint64_t{from} << 32U | to) * 0x9E3779B97F4A7C15U;
    return buckets_[mixed >> 32U & (buckets_.size() - 1)];
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

/// A sixteenth of them, in the order of their making, more or less.
void lock_graph::give_up_edges() {
    ++epoch_;
    for (std::size_t each = 0; each < edges_.size() / 16; ++each) {
        edge_index const next = next_edge_to_give_up_;
        next_edge_to_give_up_ = next + 1 < edges_.size() ? next + 1 : 1;
        if (edges_[next].from != 0) {
            unlink(next);
            ++given_up_;
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
        now_as_well(edge.beside_threads, wanted.beside_threads);
        changed = add_thread(edge.threads, wanted.thread) || changed;
        is_cycle = (changed && !is_cycle && find_cycle_with(index, found)) || is_cycle;
    }
    return is_cycle;
}

/// The shortest one. Where the edge leads to the GIL, which most edges go out of, the search goes
/// backwards, from where the edge begins.
bool lock_graph::find_cycle_with(edge_index edge, lock_cycle& found) const {
    std::array<edge_index, lock_cycle::longest> path{};
    path[0] = edge;
    for (std::size_t wanted = 2; wanted <= path.size(); ++wanted) {
        if (!extend(path, 1, wanted)) {
            continue;
        }
        std::span<edge_index> const edges(path.data(), wanted);
        if (edges_[edge].to == number_of_gil) {
            std::ranges::reverse(edges);
        }
        found.count = wanted;
        for (std::size_t each = 0; each < wanted; ++each) {
            found.edges.at(each) = edges_[edges[each]];
            found.locks.at(each) = seen(edges_[edges[each]].from);
        }
        return true;
    }
    return false;
}

bool lock_graph::extend(std::array<edge_index, lock_cycle::longest>& path, std::size_t length,
                        std::size_t wanted) const {
    bool const backwards = edges_[path[0]].to == number_of_gil;
    lock_number const begin = backwards ? edges_[path[0]].to : edges_[path[0]].from;
    lock_number const end =
        backwards ? edges_[path.at(length - 1)].from : edges_[path.at(length - 1)].to;
    if (length + 1 == wanted) {
        path.at(length) = backwards ? find(begin, end) : find(end, begin);
        return path.at(length) != 0 && may_deadlock({path.data(), wanted});
    }
    if (end == number_of_gil) {  // in the middle: the edges out of it are too many to go through
        return false;
    }
    for (edge_index next = backwards ? nodes_[end].first_in : nodes_[end].first_out; next != 0;
         next = backwards ? edges_[next].next_in : edges_[next].next_out) {
        lock_number const reached = backwards ? edges_[next].from : edges_[next].to;
        bool const again =
            reached == begin ||
            std::ranges::any_of(std::span(path.data(), length), [&](edge_index each) {
                return edges_[each].from == reached || edges_[each].to == reached;
            });
        path.at(length) = next;
        if (!again && extend(path, length + 1, wanted)) {
            return true;
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
        if (!edge.beside_threads || lock.ignored ||
            (lock.kind == lock_kind::semaphore && !lock.paired) ||
            (!edge.wanted_exclusively && !next.held_exclusively)) {
            return false;
        }
        for (std::size_t other = 0; other < each; ++other) {
            if (std::ranges::any_of(edge.gates, [&](lock_number gate) {
                    return contains(edges_[path[other]].gates, gate);
                })) {
                return false;
            }
        }
    }
    return several_threads || runs_once;
}

}  // namespace handoff::detail
