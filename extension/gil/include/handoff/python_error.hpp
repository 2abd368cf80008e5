// python_error: a Python exception as a C++ one, readable without the GIL.
#pragma once

#include <handoff/gil/python.hpp>

#include <optional>
#include <stdexcept>
#include <string>

namespace handoff {

/// What Python code raised, in text: it may be kept, thrown on and read on any thread.
///
/// Needs no Boost. A module catches what another module or the host throws.
class [[gnu::visibility("default")]] python_error : public std::runtime_error {
public:
    /// Takes the Python error that is set in this thread, and clears it. Where none is set, the
    /// result says so: its type is SystemError.
    ///
    /// It calls str(exception) twice at most. Where that calls C++ code which fetches an error
    /// too, the inner one is asked once, and its traceback shows no causes.
    /// A method that the exception's class overrides may raise, or return anything: then its part
    /// of the text is replaced, and nothing else is lost.
    /// GIL:    held.
    /// Throws: std::bad_alloc, and nothing else.
    [[nodiscard]] static python_error fetch();

    /// The exception's class, with its module unless that is builtins: "ValueError",
    /// "json.decoder.JSONDecodeError".
    [[nodiscard]] std::string const& type() const noexcept { return type_; }

    /// str(exception). What UTF-8 cannot encode is escaped.
    [[nodiscard]] std::string const& message() const noexcept { return message_; }

    /// What python3 prints for it: "Traceback (most recent call last): ...", causes included.
    /// Where Python's module traceback fails, the frames, the type and the message alone.
    [[nodiscard]] std::string const& traceback() const noexcept { return traceback_; }

    /// For SystemExit: what python3 would give to exit(), of which the system keeps the lowest
    /// eight bits (sys.exit("text"): 1, and the text is the message). Nothing for any other
    /// exception.
    [[nodiscard]] std::optional<int> exit_code() const noexcept { return exit_code_; }

private:
    python_error(std::string type, std::string message, std::string traceback,
                 std::optional<int> exit_code);

    std::string type_;
    std::string message_;
    std::string traceback_;
    std::optional<int> exit_code_;
};

}  // namespace handoff
