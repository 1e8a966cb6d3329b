// What every shim needs of C++ itself.

#include <cstdlib>

// Frees what `ecg::attempt` has stored.
extern "C" void ecg_free_message(char* message) { free(message); }
