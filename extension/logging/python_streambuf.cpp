// python_streambuf: whole lines go to the sink, outside the buffer's own lock; and fork().
#include <handoff/logging/python_streambuf.hpp>

#include <mutex>
#include <string_view>
#include <utility>

namespace handoff {

void python_streambuf::begin_in_child() {
    line_.clear();  // the parent prints it
}

python_streambuf::python_streambuf(std::ostream& redirected, log_sink to, python_stream stream)
    : redirected_(redirected), former_(redirected.rdbuf()), sink_(std::move(to)), stream_(stream) {
    redirected.rdbuf(this);
}

python_streambuf::~python_streambuf() {
    redirected_.rdbuf(former_);
    hand_over(line_);
}

python_streambuf::int_type python_streambuf::overflow(int_type letter) {
    if (traits_type::eq_int_type(letter, traits_type::eof())) {
        return traits_type::not_eof(letter);
    }
    char const it = traits_type::to_char_type(letter);
    xsputn(&it, 1);
    return letter;
}

std::streamsize python_streambuf::xsputn(char const* text, std::streamsize size) {
    std::string_view const given(text, static_cast<std::size_t>(size));
    auto const end = given.rfind('\n');
    std::string whole;
    {
        std::scoped_lock const held(mutex_);
        if (end == std::string_view::npos) {
            line_.append(given);
            return size;
        }
        whole = std::exchange(line_, std::string(given.substr(end + 1)));
    }
    whole.append(given.substr(0, end + 1));
    hand_over(whole);
    return size;
}

int python_streambuf::sync() {
    std::string rest;
    {
        std::scoped_lock const held(mutex_);
        rest.swap(line_);
    }
    hand_over(rest);
    return 0;
}

/// What the sink refuses it counts. It is no error of the ostream's, which would then write nothing
/// more.
void python_streambuf::hand_over(std::string const& text) const noexcept {
    if (text.empty()) {
        return;
    }
    pushed const outcome = stream_ == python_stream::standard_output ? sink_.write_to_stdout(text)
                                                                     : sink_.write_to_stderr(text);
    if (outcome == pushed::closed && former_ != nullptr) {
        try {
            former_->sputn(text.data(), static_cast<std::streamsize>(text.size()));
            former_->pubsync();
        } catch (...) {  // NOLINT(bugprone-empty-catch): there is no place left for it
        }
    }
}

}  // namespace handoff
