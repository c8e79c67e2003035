//! Numerical gradient checks, public: use them on your own functions and layers.
