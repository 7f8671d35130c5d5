print("stagewire")
