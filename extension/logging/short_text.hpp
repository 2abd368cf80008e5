// short_text: a copy of a text, stored in place if short, so that short records allocate nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace handoff::detail {

/// May be moved from, and then only destroyed.
class short_text {
public:
    /// Throws: std::bad_alloc.
    explicit short_text(std::string_view text) : size_(text.size()) {
        if (size_ > here_.size()) [[unlikely]] {
            elsewhere_ = std::make_unique_for_overwrite<char[]>(size_);
            std::memcpy(elsewhere_.get(), text.data(), size_);
        } else if (size_ > 0) {
            std::memcpy(here_.data(), text.data(), size_);
        }
    }

    [[nodiscard]] std::string_view view() const noexcept {
        return {elsewhere_ ? elsewhere_.get() : here_.data(), size_};
    }

private:
    std::size_t size_;
    std::unique_ptr<char[]> elsewhere_;  // null: it is here
    // Copied whole when it is moved, which takes a few instructions, and no call.
    std::array<char, 64> here_{};
};

}  // namespace handoff::detail
