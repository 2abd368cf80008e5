// python_streambuf: sends what C++ writes to std::cout or std::cerr to sys.stdout or sys.stderr.
#pragma once

#include <handoff/gil/detail/fork_tie.hpp>
#include <handoff/gil/mutex.hpp>
#include <handoff/logging/log_sink.hpp>

#include <cstddef>
#include <ostream>
#include <streambuf>
#include <string>

namespace handoff {

/// Which of Python's streams.
enum class python_stream { standard_output, standard_error };

/// Redirects an ostream to Python for as long as it lives, so that a notebook's cell shows it.
///
///     using handoff::python_stream;
///     handoff::python_streambuf const shown(std::cout, sink, python_stream::standard_output);
///     std::cout << "from C++\n";
///
/// Text is passed to the sink in whole lines; std::flush and std::endl pass on what is there. The
/// sink delivers it in order with its records, and flushes Python's stream; log_sink::flush() waits
/// for that. A sink that drops the oldest drops text too, and counts it: if nothing may be lost,
/// use a sink with when_full::block. When the sink is closed, at Python's end, the text goes to the
/// ostream's former buffer, an incomplete line included. In the child of a fork() the parent's
/// incomplete line is gone.
///
/// GIL:     any; unchanged; see log_sink for when_full::block. Threads: any may write; made and
///          destroyed while no other thread writes to the ostream.
class python_streambuf final : public std::streambuf {
public:
    python_streambuf(std::ostream& redirected, log_sink to, python_stream stream);
    /// Passes on the rest, and restores the ostream's former buffer.
    ~python_streambuf() override;

    python_streambuf(python_streambuf const&) = delete;
    python_streambuf& operator=(python_streambuf const&) = delete;

protected:
    int_type overflow(int_type letter) override;
    std::streamsize xsputn(char const* text, std::streamsize size) override;
    int sync() override;

private:
    void hand_over(std::string const& text) const noexcept;

    std::ostream& redirected_;
    std::streambuf* const former_;
    log_sink const sink_;
    python_stream const stream_;
    mutex mutex_;
    std::string line_;  // guarded by the mutex: an incomplete line

    friend detail::fork_tie<python_streambuf>;
    void begin_in_child();
    detail::fork_tie<python_streambuf> const tie_{*this, mutex_};
};

}  // namespace handoff
