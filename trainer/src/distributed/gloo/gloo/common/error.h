// Stands for a header of gloo that the wheel of libtorch lacks; nothing of it is needed here.

#pragma once
