// short_text: a copy of a text, in place where it is short, so that a short record allocates nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace handoff::detail {

class short_text {
public:
    /// Throws: std::bad_alloc.
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): only what is used of it is written
    explicit short_text(std::string_view text) : size_(text.size()) {
        if (size_ > here_.size()) {
            elsewhere_ = std::make_unique_for_overwrite<char[]>(size_);
        }
        std::memcpy(elsewhere_ ? elsewhere_.get() : here_.data(), text.data(), size_);
    }
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init)
    short_text(short_text&& from) noexcept
        : size_(from.size_), elsewhere_(std::move(from.elsewhere_)) {
        copy_what_is_here(from);
    }
    short_text& operator=(short_text&& from) noexcept {
        size_ = from.size_;
        elsewhere_ = std::move(from.elsewhere_);
        copy_what_is_here(from);
        return *this;
    }
    ~short_text() = default;
    short_text(short_text const&) = delete;
    short_text& operator=(short_text const&) = delete;

    [[nodiscard]] std::string_view view() const noexcept {
        return {elsewhere_ ? elsewhere_.get() : here_.data(), size_};
    }

private:
    void copy_what_is_here(short_text const& from) noexcept {
        if (!elsewhere_ && this != &from) {
            std::memcpy(here_.data(), from.here_.data(), size_);
        }
    }

    std::size_t size_;
    std::unique_ptr<char[]> elsewhere_;  // null: it is here
    std::array<char, 96> here_;
};

}  // namespace handoff::detail
