// python_streambuf: whole lines go to the sink, outside the buffer's own lock; and fork().
#include <handoff/logging/python_streambuf.hpp>

#include <algorithm>
#include <mutex>
#include <pthread.h>
#include <string_view>
#include <utility>
#include <vector>

namespace handoff {

/// All of them, for fork(): no thread that the child lacks holds one's lock there.
struct python_streambuf::all {
    static void add(python_streambuf& added) {
        [[maybe_unused]] static bool const tied_to_fork =
            pthread_atfork(&before_fork, &in_parent, &in_child) == 0;
        std::scoped_lock const held(guard());
        buffers().push_back(&added);
    }

    static void remove(python_streambuf& removed) noexcept {
        std::scoped_lock const held(guard());
        std::erase(buffers(), &removed);
    }

private:
    // Never destroyed: a thread may write as the process ends.
    static mutex& guard() {  // taken before a buffer's
        static auto& only = *new mutex();
        return only;
    }
    static std::vector<python_streambuf*>& buffers() {
        static auto& only = *new std::vector<python_streambuf*>();
        return only;
    }

    static void before_fork() {
        guard().lock();
        for (python_streambuf* const each : buffers()) {
            each->mutex_.lock();
        }
    }
    static void in_parent() {
        for (python_streambuf* const each : buffers()) {
            each->mutex_.unlock();
        }
        guard().unlock();
    }
    static void in_child() {
        for (python_streambuf* const each : buffers()) {
            each->line_.clear();  // the parent prints it
        }
        in_parent();
    }
};

python_streambuf::python_streambuf(std::ostream& redirected, log_sink to, python_stream stream)
    : redirected_(redirected), former_(redirected.rdbuf()), sink_(std::move(to)), stream_(stream) {
    all::add(*this);
    redirected.rdbuf(this);
}

python_streambuf::~python_streambuf() {
    redirected_.rdbuf(former_);
    all::remove(*this);
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
