// check: whether tests hold with the orders as written, and which of these they need.
#pragma once

#include "modelled.hpp"

#include <cstdlib>
#include <streambuf>

namespace modelled {

/// What Relacy says of a test, in memory of its own: within a test Relacy counts what is allocated.
class report : public std::streambuf {
public:
    report() { setp(text_.data(), text_.data() + text_.size()); }
    [[nodiscard]] std::string_view text() const { return {pbase(), pptr()}; }

private:
    int_type overflow(int_type /*what*/) override { return 0; }  // the rest is left out

    static inline std::array<char, 1 << 20> text_;
};

/// Runs a test so many times, each time with other switches and other values read.
/// Returns: whether it held. Where it did not, and `told` is given, that says how.
template <class Test>
bool holds(unsigned long times, std::ostream* told = nullptr) {
    report said;
    std::ostream to_it(&said);
    rl::test_params how;
    how.iteration_count = times;
    how.output_stream = how.progress_stream = &to_it;
    how.progress_output_period = 1'000'000;
    how.search_type = rl::random_scheduler_type;
    how.execution_depth_limit = 20'000;
    bool const held = rl::simulate<Test>(how);
    if (!held && told != nullptr) {
        *told << said.text();
    }
    return held;
}

inline std::string in_short(operation const& of) {
    std::size_t const folder = of.file.rfind('/');
    return std::string(of.file.substr(folder + 1)) + ":" + std::to_string(of.line) + " " +
           name(of.order);
}

/// What an order can be weakened to, a step at a time.
inline std::vector<std::memory_order> weaker(std::memory_order order) {
    switch (order) {
        case std::memory_order_seq_cst:
            return {std::memory_order_acq_rel, std::memory_order_relaxed};
        case std::memory_order_acq_rel:
            return {std::memory_order_acquire, std::memory_order_release};
        case std::memory_order_acquire:
        case std::memory_order_release:
            return {std::memory_order_relaxed};
        default:
            return {};
    }
}

/// Of those that are weakened, all must be found, or are told of: some are needed in executions
/// that are too rare to be met every time.
enum class weakened_orders { all_found, told_of };

/// Runs the tests as written, then with each order of the sources in `folder` weakened.
/// Returns: the exit code: 0 where all held as written, and none of the latter did.
template <class... Tests>
int check(std::string_view folder, unsigned long times,
          weakened_orders must_be = weakened_orders::all_found) {
    if (char const* const factor = std::getenv("TIMES")) {
        times *= std::strtoul(factor, nullptr, 10);
    }
    operations.clear();
    bool const as_written = (holds<Tests>(times, &std::cout) && ...);
    if (!as_written) {
        return 1;
    }
    std::cout << "as written: " << sizeof...(Tests) << " tests held, " << times << " times each\n";
    bool all_needed = true;
    auto const of_all = operations;
    for (operation const& each : of_all) {
        if (each.file.find(folder) == std::string_view::npos) {
            continue;
        }
        for (std::memory_order const order : weaker(each.order)) {
            weakened.emplace(each, order);
            bool const held = (holds<Tests>(times) && ...);
            std::cout << in_short(each) << " -> " << name(order) << ": "
                      << (held ? "NOT FOUND" : "found") << std::endl;
            all_needed = all_needed && !held;
        }
        weakened.reset();
    }
    return all_needed || must_be == weakened_orders::told_of ? 0 : 2;
}

}  // namespace modelled
