"""Where the time of a message goes: sampled from a relay that serves, and part by part."""
