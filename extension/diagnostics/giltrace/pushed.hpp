// pushed: a list that many threads add to and one takes, without a lock.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

namespace handoff::detail {

/// Node: has a member `Node* before`.
template <class Node>
class pushed {
public:
    void push(std::unique_ptr<Node> made) noexcept {
        made->before = last_.load(std::memory_order_relaxed);
        while (!last_.compare_exchange_weak(made->before, made.get(), std::memory_order_release,
                                            std::memory_order_relaxed)) {
        }
        static_cast<void>(made.release());
    }
    /// The last one that was added comes first.
    [[nodiscard]] std::vector<std::unique_ptr<Node>> take() {
        std::vector<std::unique_ptr<Node>> taken;
        for (Node* each = last_.exchange(nullptr, std::memory_order_acquire); each != nullptr;) {
            taken.emplace_back(each);
            each = taken.back()->before;
        }
        return taken;
    }

private:
    std::atomic<Node*> last_ = nullptr;
};

}  // namespace handoff::detail
